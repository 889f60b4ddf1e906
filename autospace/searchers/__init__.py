"""Downstream search methods: find an architecture in any space."""
