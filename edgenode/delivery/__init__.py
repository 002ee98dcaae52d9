"""Stage 4: states and events reach the broker; no event is ever lost."""
