"""Readers for files from anywhere: allow-listed pickles, torch archives and LMDB, every size and offset checked."""
