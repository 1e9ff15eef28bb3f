"""Commands that build avatars from photos."""
