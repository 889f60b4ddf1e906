"""Learn a space: populations of cells, evolved by fitness."""
