"""Stage 3: noisy classifications become states and events. Pure: no threads, no clock, no I/O."""
