"""Faces in images: detection, tracking from frame to frame, and 478 landmarks."""
