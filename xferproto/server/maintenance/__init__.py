"""What a server does beside its connections: it looks for damage, and logs what it finds."""
