"""Parts that change the head's shape and its Gaussians' size."""
