"""What the node tells about itself: metrics, health, the service manager, logs."""
