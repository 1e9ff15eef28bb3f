"""What each command does, named after it; usable without the command line."""
