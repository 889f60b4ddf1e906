"""Search methods: find an architecture in any space."""
