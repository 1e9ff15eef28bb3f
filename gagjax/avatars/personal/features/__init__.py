"""Features in a map around the head: an optimisable tensor, and what a frame's posed mesh adds to it."""
