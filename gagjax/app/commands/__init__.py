"""One lightweight module per command: options as a dataclass, heavy imports inside `run`."""
