"""Training: the short kind that scoring needs, and the full recipe of `autospace train`."""
