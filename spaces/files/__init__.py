"""Reads and writes spaces as JSON."""
