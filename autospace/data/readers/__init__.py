"""A reader for every `--data` source."""
