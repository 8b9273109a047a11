"""The server: its state machine, its factory, and the service that twistd runs."""
