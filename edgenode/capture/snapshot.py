"""Pictures for people: JPEG under a limit of bytes."""

from __future__ import annotations

import cv2

from edgenode.errors import PictureError
from edgenode.records import U8

MAX_SNAPSHOT_BYTES = 256 * 1024
_QUALITIES = (88, 80, 70, 60, 50)
_SHRINK = 0.75


def encode_snapshot(picture: U8, max_bytes: int = MAX_SNAPSHOT_BYTES) -> bytes:
    """`picture` (uint8 [H, W, 3] RGB) as a JPEG of at most `max_bytes`, without EXIF or other metadata.

    Lowers the quality first, then the size. Raises PictureError where not even a tiny picture fits.
    """
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    while True:
        for quality in _QUALITIES:
            ok, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if not ok:
                raise PictureError(f"a picture of shape {picture.shape} cannot be encoded")
            if data.size <= max_bytes:
                return data.tobytes()
        height, width = bgr.shape[:2]
        if width < 8 or height < 8:
            raise PictureError(f"no picture fits into {max_bytes} bytes")
        size = (max(1, int(width * _SHRINK)), max(1, int(height * _SHRINK)))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
