"""Move the bytes of a file: count, hash and write, with back-pressure; for server and client."""
