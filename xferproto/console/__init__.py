"""The console command, C{xfer}: files up and down, and what is in a depot."""
