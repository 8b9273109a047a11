"""Who comes in: users, passwords, and the delays that wrong ones cost."""
