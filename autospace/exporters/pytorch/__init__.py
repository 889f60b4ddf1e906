"""Spaces and networks as Python files that need only PyTorch."""
