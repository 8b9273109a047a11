"""The classic protocol: messages without frames, for a client that reads one at a time."""
