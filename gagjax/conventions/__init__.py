"""Conventions of tracks: frame rates, units, and the head's pose relative to the camera."""
