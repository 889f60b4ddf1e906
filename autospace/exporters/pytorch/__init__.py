"""A space or an architecture as Python source that needs PyTorch only."""
