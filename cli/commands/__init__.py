"""A module per command: options, one library call, printing."""
