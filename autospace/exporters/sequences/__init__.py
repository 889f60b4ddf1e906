"""Networks that read text or sentences as code of PyTorch."""
