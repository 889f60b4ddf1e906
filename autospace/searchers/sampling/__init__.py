"""Search methods that draw architectures, evaluate them, and draw again."""
