"""Run the server: the service that twistd starts, its options, and the protocols it speaks."""
