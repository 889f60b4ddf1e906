"""Spaces as text that other programs read; importing no target package."""
