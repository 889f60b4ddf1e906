"""Scorers: each gives candidate cells a fitness relative to the reference architecture."""
