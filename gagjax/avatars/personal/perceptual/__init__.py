"""Losses that compare what pictures look like: fixed filters, and networks whose weights the user brings."""
