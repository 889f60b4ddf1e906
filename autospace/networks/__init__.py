"""Cells and networks as torch modules: the phenotype."""
