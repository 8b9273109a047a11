"""What C{twistd xfer-client} does with one file: send it, fetch it back, compare the hashes."""
