"""Classifies what cameras see, at the edge, and tells the world over MQTT."""

import os

__version__ = "0.1.0"

# Read when OpenCV is loaded, wherever that is first: its own limit lets a few kilobytes unfold to 3 GB. Sizes are
# checked before it decodes (capture/pictures.py); this holds where a header says another size than the picture has.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "64000000")
