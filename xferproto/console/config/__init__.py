"""The configuration of C{xfer}: file, settings, password."""
