"""The command line: one light module for each command, heavy imports inside `run`."""
