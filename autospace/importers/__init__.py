"""Reads spaces and architectures from files of other programs: pure functions of their text."""
