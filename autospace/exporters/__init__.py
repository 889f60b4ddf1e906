"""Writes spaces as text that other programs read; imports none of these programs."""
