"""Evaluators: how good is one architecture, behind one seam."""
