"""FLAME parameters from landmarks: Gauss-Newton over the frames of a shot with one identity."""
