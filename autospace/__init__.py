"""Learn a search space for neural architecture search, prove that it is better, hand it over."""
