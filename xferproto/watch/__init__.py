"""The unattended client: what appears in a directory is carried to the depot, whatever happens."""
