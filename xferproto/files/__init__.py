"""Write files durably: staged, synced, and named when they are complete."""
