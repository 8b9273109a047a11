"""Which depot a subcommand asks, as whom, and how."""
