"""One light module for each command: its options as a dataclass, heavy imports inside `run`."""
