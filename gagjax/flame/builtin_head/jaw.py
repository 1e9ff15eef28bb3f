"""How far the built-in head's jaw opens: by itself, since readers of files need it without the head."""

JAW_OPEN = 0.4  # radians by which the jaw is open where `lips_together` closes the lips
