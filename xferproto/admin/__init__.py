"""Serve operators on the command line: C{xfer-depot}."""
