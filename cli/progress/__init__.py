"""How commands show that they go on."""
