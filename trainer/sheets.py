"""Many small pictures on one, for looking at."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from edgenode.errors import PictureError
from edgenode.records import U8
from trainer.labelled import Dataset, Picture
from trainer.reading import read_picture

_GAP = 4
_PAPER = 255
_SIDE = 96
OURS = re.compile(
    r"(class_\d\d+_[A-Za-z0-9_-]{0,40}|confusion|reliability|risk_coverage|curves|augmented|confident_wrongs)\.png"
)
"""The names of a report's pictures."""


def class_sheets(
    dataset: Dataset, columns: int = 10, rows: int = 3, seed: int = 0, most: int = 100
) -> dict[str, U8]:
    """Label to a sheet of up to `columns` · `rows` of its pictures, drawn by `seed`; of the first `most`
    labels.

    Pictures that can no longer be read are left out.
    """
    sheets = {}
    for index, label in enumerate(dataset.labels[:most]):
        members = [picture for picture in dataset.pictures if index in picture.present]
        chosen = np.random.default_rng(seed).permutation(len(members))[: columns * rows]
        tiles = [tile for i in sorted(chosen) if (tile := _pixels(members[i])) is not None]
        if tiles:
            sheets[label] = sheet(tiles, columns)
    return sheets


def sheet(pictures: Sequence[U8], columns: int = 10, side: int = _SIDE) -> U8:
    """`pictures` (uint8 [h, w], [h, w, 1] or [h, w, 3], of any sizes) in rows, each fitted into a square."""
    columns = max(1, min(columns, len(pictures)))
    rows = -(-len(pictures) // columns)
    step = side + _GAP
    paper = np.full((rows * step + _GAP, columns * step + _GAP, 3), _PAPER, dtype=np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        tile = fitted(picture, side)
        top = _GAP + row * step + (side - tile.shape[0]) // 2
        left = _GAP + column * step + (side - tile.shape[1]) // 2
        paper[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return paper


def fitted(picture: U8, side: int = _SIDE) -> U8:
    """`picture` as RGB, scaled so that its longer edge is `side`; small pictures keep their pixels
    visible."""
    if picture.ndim == 2 or picture.shape[2] == 1:
        picture = np.repeat(picture.reshape(*picture.shape[:2], 1), 3, axis=2)
    height, width = picture.shape[:2]
    ratio = side / max(height, width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    method = cv2.INTER_NEAREST if ratio >= 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, size, interpolation=method), dtype=np.uint8)


def png(picture: U8) -> bytes:
    """The PNG bytes of an RGB picture."""
    good, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    if not good:
        raise PictureError("a picture could not be written as PNG")
    return bytes(data.tobytes())


def jpeg(png_bytes: bytes) -> bytes:
    """A PNG's picture as JPEG: a third to a tenth of the bytes, for photographs inside a page."""
    picture = cv2.imdecode(np.frombuffer(png_bytes, np.uint8), cv2.IMREAD_COLOR)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())


def file_names(labels: Mapping[str, U8]) -> dict[str, str]:
    """Label to the name of its sheet's file: safe, and different for different labels."""
    names = {}
    for number, label in enumerate(labels):
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in label)[:40]
        names[label] = f"class_{number:02d}_{safe}.png"
    return names


def _pixels(picture: Picture) -> U8 | None:
    try:
        return fitted(read_picture(picture.path)[0])
    except PictureError:
        return None
