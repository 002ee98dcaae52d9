"""Still pictures under limits: bytes become RGB, or an error that says why not."""

from __future__ import annotations

import cv2
import numpy as np

from edgenode.capture.picture_header import picture_size
from edgenode.errors import PictureError
from edgenode.records import U8

MAX_BYTES = 64 * 2**20
"""A larger file is not read."""
MAX_PIXELS = 64_000_000
"""A larger picture is not decoded: some kilobytes of PNG can unfold to gigabytes."""
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def decode_picture(data: bytes, max_pixels: int = MAX_PIXELS) -> U8:
    """A JPEG, PNG, BMP, WebP or TIFF as uint8 [H, W, 3] RGB.

    Turned upright by its EXIF orientation; of 16 bits the upper 8 are kept; transparency is dropped, grey is
    repeated, CMYK converted. Raises PictureError for everything else, without a word on stderr from callers'
    view: cut off, damaged, larger than `max_pixels`.
    """
    if len(data) > MAX_BYTES:
        raise PictureError(f"the picture has {len(data)} bytes; at most {MAX_BYTES} are read")
    width, height = picture_size(data)
    if width < 1 or height < 1 or width * height > max_pixels:
        raise PictureError(f"the picture is {width}×{height}; it must have 1 to {max_pixels} pixels")
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        picture = None
    if picture is None:
        raise PictureError("the picture is damaged and cannot be decoded")
    return np.asarray(picture, dtype=np.uint8)
