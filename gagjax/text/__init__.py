"""Text for terminals: foreign text that is safe to print, and tables."""
