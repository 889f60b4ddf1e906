"""Charts as values, drawn as inline SVG for the report and by matplotlib for a paper."""
