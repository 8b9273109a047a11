"""Define the values that all parts share: entries, identities, errors, sizes. Standard library."""
