"""The cell: value, vocabulary, key, cost, variation and notation."""
