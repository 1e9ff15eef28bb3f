"""Frames enhanced while they come: live tracks, live pictures, and stages that run side by side."""
