"""How subcommands move files: which ones, over which connections, and what came of them."""
