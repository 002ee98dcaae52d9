"""One picture file, read once: bytes, hash, pixels, and what they tell.

The pixels come from the decoder that the node uses for stills, so a picture means the same to both: upright
by its EXIF orientation, the upper 8 of 16 bits, CMYK converted, transparency dropped (not composited: what
is under it shows), grey repeated.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from edgenode.capture.pictures import MAX_BYTES, PICTURE_SUFFIXES, decode_picture
from edgenode.errors import PictureError
from edgenode.records import U8
from trainer.labelled import Look

THUMBNAIL = 24
"""Side of a thumbnail: keeps a part of a texture, so that two rolled sheets of steel stay different."""
Progress = Callable[[int, int], None]
"""Told (done, total) as work goes on, from the calling thread."""
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_COLOUR_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""PNG colour type to channels; a palette unfolds to three."""

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a damaged picture is reported once, by us


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises PictureError where it cannot be read, is empty or too large."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from error
    if not data:
        raise PictureError("the file is empty")
    return data


def read_picture(path: Path) -> tuple[U8, str]:
    """(uint8 [h, w, 3] RGB, sha256 of the bytes). Raises PictureError."""
    data = read_bytes(path)
    return decode_picture(data), hashlib.sha256(data).hexdigest()


def look_at(path: Path) -> tuple[str, Look]:
    """(sha256, look) of the picture at `path`. Raises PictureError."""
    data = read_bytes(path)
    picture = decode_picture(data)
    height, width = picture.shape[:2]
    grey = bool((picture[..., 0] == picture[..., 1]).all() and (picture[..., 1] == picture[..., 2]).all())
    return hashlib.sha256(data).hexdigest(), Look(thumbnail(picture), width, height, grey, stored_as(data))


def thumbnail(picture: U8) -> U8:
    """`picture` (uint8 [h, w, 3]) stretched to uint8 [24, 24, 3]."""
    smaller = min(picture.shape[:2]) >= THUMBNAIL
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=method), dtype=np.uint8)


def looks_like_picture(path: Path) -> bool:
    """Whether the name or, failing that, the first bytes say that `path` is a picture."""
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return _format(head) != ""


def stored_as(data: bytes) -> str:
    """How a picture's bytes store it: `PNG 1×16 bit`; channels and depth only where the header is simple."""
    kind = _format(data[:16])
    if kind == "PNG" and len(data) > 25:
        return f"PNG {_COLOUR_CHANNELS.get(data[25], 0)}×{data[24]} bit"
    if kind == "JPEG":
        at = 2
        while at + 10 < len(data) and data[at] == 0xFF:
            marker = data[at + 1]
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                return f"JPEG {data[at + 9]}×{data[at + 4]} bit"
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return kind


def _format(head: bytes) -> str:
    if head.startswith(b"\xff\xd8"):
        return "JPEG"
    if head.startswith(b"\x89PNG"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return "TIFF"
    return "BMP" if head.startswith(b"BM") else ""


def in_order(
    work: Callable[[_Item], _Result], items: Sequence[_Item], progress: Progress | None = None
) -> Iterator[_Result]:
    """`work` over `items` on all processors (decoding releases the interpreter), results in order."""
    workers = max(1, min(8, os.cpu_count() or 1))
    with ThreadPoolExecutor(workers, thread_name_prefix="read") as pool:
        try:
            for done, result in enumerate(pool.map(work, items), 1):
                if progress is not None:
                    progress(done, len(items))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)
