"""Commands that open a page in the browser for dropping files."""
