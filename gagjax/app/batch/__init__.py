"""`gagjax batch`: jobs, their manifest, and the executors that run them."""
