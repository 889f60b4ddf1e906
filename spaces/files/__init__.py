"""Spaces as JSON, in and out."""
