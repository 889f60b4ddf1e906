"""The cell: its value, operations, key, cost, variation and notation."""
