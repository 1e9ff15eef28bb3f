"""Text tables, image panels, curves and HTML pages that commands print and write."""
