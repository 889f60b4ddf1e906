"""Data sets: what `--data` names, read, split, and cut into batches."""
