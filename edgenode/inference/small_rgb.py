"""A decoder's planes as a small RGB picture, without the large one in between."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from edgenode.inference.area import averages
from edgenode.records import F32, U8, Planes

_LUMA_WEIGHTS = {False: (0.299, 0.114), True: (0.2126, 0.0722)}
"""Of red and blue, by whether the matrix is BT.709's (ITU-R BT.601-7 and BT.709-6, item 3.2)."""
_TRUNCATED = (1.0, 1.5, 1.0)
"""Levels that FFmpeg's conversion is darker in red, green and blue: it cuts each of its two or three products off, half
a level at a time on average. Samples of both ways have the same mean so."""


def small_rgb(planes: Planes, width: int, height: int) -> U8:
    """`planes` averaged over areas to [height, width, 3] RGB; each plane must have at least that size."""
    luma = averages(planes.luma, width, height)
    chroma = averages(np.concatenate((planes.blue, planes.red), axis=1), 2 * width, height)
    channels = cv2.merge((luma, chroma[:, :width], chroma[:, width:]))
    mixed = cv2.transform(channels, _matrix(planes.hd, planes.full_range))
    return np.asarray(cv2.convertScaleAbs(cv2.max(mixed, 0.0)), dtype=np.uint8)


@lru_cache(maxsize=4)
def _matrix(hd: bool, full_range: bool) -> F32:
    """[3, 4]: red, green and blue out of luma, both colour differences and 1."""
    red, blue = _LUMA_WEIGHTS[hd]
    green = 1.0 - red - blue
    luma, chroma, black = (1.0, 1.0, 0.0) if full_range else (255.0 / 219.0, 255.0 / 224.0, 16.0)
    of_red, of_blue = 2.0 * (1.0 - red) * chroma, 2.0 * (1.0 - blue) * chroma
    mixing = np.array(
        [
            [luma, 0.0, of_red],
            [luma, -of_blue * blue / green, -of_red * red / green],
            [luma, of_blue, 0.0],
        ]
    )
    offset = -mixing @ (black, 128.0, 128.0) - _TRUNCATED
    return np.concatenate([mixing, offset[:, None]], axis=1).astype(np.float32)
