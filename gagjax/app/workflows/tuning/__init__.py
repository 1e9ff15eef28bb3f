"""What `gagjax tune` does: smoothing fitted to tracks, and the principal components of a person's expressions."""
