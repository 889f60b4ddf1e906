"""Search methods that draw architectures, judge them, and draw again."""
