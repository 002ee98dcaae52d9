"""Clips and pictures through the same pipeline, and what came of them against the truth."""
