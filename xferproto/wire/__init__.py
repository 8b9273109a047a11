"""The line protocol as data: bytes become values, values become bytes, and the table of states."""
