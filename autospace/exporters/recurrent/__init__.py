"""Recurrent cells as code of PyTorch."""
