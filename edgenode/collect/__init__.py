"""Keeping pictures that are worth a label: chosen, compared, stored under bounds, for `edgenode label`."""
