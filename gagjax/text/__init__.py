"""Text for terminals: escaping of untrusted text, and tables."""
