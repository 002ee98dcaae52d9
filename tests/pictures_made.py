"""Small picture files for the tests, made when they are needed."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenode.records import U8


def noise(seed: int, height: int = 32, width: int = 40, channels: int = 3) -> U8:
    """A picture unlike those of other seeds: coloured blotches."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, channels), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def encoded(picture: NDArray[Any], suffix: str = ".png", quality: int = 95) -> bytes:
    """The bytes of `picture` (RGB, grey or RGBA, uint8 or uint16)."""
    if picture.ndim == 3 and picture.shape[2] == 3:
        picture = np.ascontiguousarray(picture[..., ::-1])
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    good, data = cv2.imencode(suffix, picture, options)
    assert good
    return bytes(data.tobytes())


def save(path: Path, picture: NDArray[Any], quality: int = 95) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(picture, path.suffix, quality))
    return path


def turned_by_exif(jpeg: bytes, orientation: int) -> bytes:
    """`jpeg` with an EXIF segment that says it lies on its side."""
    entry = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def class_folders(root: Path, labels: tuple[str, ...] = ("bad", "good"), each: int = 10) -> Path:
    """Class folders with pictures that have nothing in common."""
    for number, label in enumerate(labels):
        for index in range(each):
            save(root / label / f"{index:03d}.png", noise(1000 * number + index))
    return root


def shades(root: Path, wrong: int = 0) -> Path:
    """Dark and bright pictures; `wrong` bright ones lie among the dark."""
    for label, level in (("dark", 30), ("bright", 220)):
        for index in range(10):
            save(root / label / f"{index}.png", np.full((9 + index, 12, 3), level + index, dtype=np.uint8))
    for index in range(wrong):
        save(root / "dark" / f"wrong{index}.png", np.full((30, 12 + index, 3), 240, dtype=np.uint8))
    return root
