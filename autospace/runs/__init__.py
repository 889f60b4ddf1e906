"""What a run leaves on disk, whatever it computes."""
