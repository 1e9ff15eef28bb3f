"""The command line and the workflows behind its commands."""
