"""`edgenode doctor`: opens and measures what a node will depend on, and says what to do about what it finds."""
