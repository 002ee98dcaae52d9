"""Writes the documents that say what the code says: `python -m scripts.reference` (or `make reference`)."""
