"""What a subcommand shows: results, progress, advice."""
