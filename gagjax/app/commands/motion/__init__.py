"""Commands that export, transfer, edit and draw motion."""
