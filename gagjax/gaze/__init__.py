"""Gaze: soft masks around the eyes."""

from gagjax.gaze.masks import DEFAULT_CENTRES, SIGMA, centres_from_landmarks, eye_mask

__all__ = ["DEFAULT_CENTRES", "SIGMA", "centres_from_landmarks", "eye_mask"]
