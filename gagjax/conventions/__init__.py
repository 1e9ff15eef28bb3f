"""What the numbers of a track mean: frame rates, units, and the head's own pose beside the camera."""
