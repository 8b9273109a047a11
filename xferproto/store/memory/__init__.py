"""A store in memory: for tests, and for whoever wants a depot that leaves nothing behind."""
