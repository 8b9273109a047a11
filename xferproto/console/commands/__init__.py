"""The subcommands of C{xfer}, a module each."""
