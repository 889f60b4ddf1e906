"""Comparison of spaces: draw, match, evaluate, test, say it."""
