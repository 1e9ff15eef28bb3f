"""What `gagjax fit` makes of its options."""
