"""The built-in avatar: 59,000 Gaussians on the built-in head, from formulas and a seed."""
