"""Text that networks of tokens learn from, and their training."""
