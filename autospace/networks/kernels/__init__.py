"""Compiled kernels that train cells on a CPU; `autospace.networks.fused` alone imports them."""
