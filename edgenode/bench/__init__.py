"""Measures this machine and this node, always side by side with the limit it could reach."""
