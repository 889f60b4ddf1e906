"""Evaluators: interchangeable measures of how good one architecture is."""
