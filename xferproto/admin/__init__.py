"""The operator's command, C{xfer-depot}."""
