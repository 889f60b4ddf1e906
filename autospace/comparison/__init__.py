"""Comparison of spaces: draw networks, match, evaluate and test them, state the verdict."""
