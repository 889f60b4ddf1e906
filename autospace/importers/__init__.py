"""Spaces and architectures out of other programs' files: pure functions from text to values."""
