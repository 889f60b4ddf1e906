"""Weights that architectures share."""
