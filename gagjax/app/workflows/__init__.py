"""The work behind each command, in a module of the same name; usable without the command line."""
