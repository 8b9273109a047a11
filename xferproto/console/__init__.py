"""The console command, C{xfer}: click, the terminal, and what each subcommand does."""
