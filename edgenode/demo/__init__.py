"""The built-in demonstration: drawn scenes, bundled models, an embedded broker, a live table."""
