"""Commands that build avatars from pictures."""
