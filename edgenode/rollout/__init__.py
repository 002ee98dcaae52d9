"""Which model serves, and how another takes its place: fetched, judged, shadowed, watched, gone back from."""
