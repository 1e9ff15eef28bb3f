"""Faces in pictures: found, followed from picture to picture, marked with 478 points."""
