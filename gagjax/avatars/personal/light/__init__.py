"""Parts that say how the head is lit and what is behind it."""
