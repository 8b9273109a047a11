"""What tests share: depots, users, processes, and faults that are made."""
