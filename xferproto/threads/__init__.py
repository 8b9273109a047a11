"""Run blocking work on threads, in order and in batches."""
