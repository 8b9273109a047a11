"""The version of this package, in one place: C{setup.cfg} reads it from here."""

__version__ = "0.1.0"
