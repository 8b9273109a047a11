"""Look for damage beside serving connections, and log what is found."""
