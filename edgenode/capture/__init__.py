"""Stage 1: sources become frames, frames become regions, regions become samples."""
