"""The files of a run, whatever it computes."""
