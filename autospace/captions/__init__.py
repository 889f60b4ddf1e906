"""Images with captions: from the text of `--data captions` to batches, and their training."""
