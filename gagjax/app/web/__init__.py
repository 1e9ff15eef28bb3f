"""`gagjax app`: a page to drop a photo and a film on; it runs the same commands that a terminal would."""
