"""Where blocking work is done: on threads, in order and in batches, never on the reactor's own."""
