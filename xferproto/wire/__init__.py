"""Describe the line protocol as data: parse and format its lines, and list its states."""
