"""Classifies what cameras see, at the edge, and tells the world over MQTT."""

__version__ = "0.1.0"
