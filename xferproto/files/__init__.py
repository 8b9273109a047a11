"""Durable files: written aside, synced, and named when they are whole."""
