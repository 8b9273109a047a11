"""Stores: their interface, one on a local disk, and one in memory."""
