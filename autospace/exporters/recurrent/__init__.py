"""Recurrent cells as pictures and as code of PyTorch."""
