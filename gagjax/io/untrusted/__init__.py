"""Readers for untrusted files: allow-listed pickles, torch archives and LMDB, with every size and offset checked."""
