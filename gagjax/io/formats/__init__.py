"""Track formats: one module each, from a file's own fields to a `Track` and back."""
