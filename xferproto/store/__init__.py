"""What is stored and how: the interface of a store, and the one on a local disk."""
