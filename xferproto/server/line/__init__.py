"""The line protocol, as the server speaks it."""
