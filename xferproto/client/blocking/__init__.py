"""The client for callers that block: scripts, notebooks, threads."""
