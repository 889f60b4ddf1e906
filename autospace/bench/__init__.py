"""The bench: speed, correctness and search quality of this installation, as numbers for CI."""
