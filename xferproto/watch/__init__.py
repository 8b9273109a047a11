"""The unattended client: send the files that appear in a directory to the depot."""
