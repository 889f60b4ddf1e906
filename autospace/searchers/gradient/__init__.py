"""Search methods that follow the gradient of architecture parameters."""
