"""Workflows that take motion from one place to another: export, transfer, edit, draw."""
