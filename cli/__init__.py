"""The command line: options to one library call to printed lines."""
