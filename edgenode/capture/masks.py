"""Privacy masks: polygons that are black before anything else sees the frame."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenode.records import U8

FractionPolygon = Sequence[tuple[float, float]]
"""Corners as fractions of the frame's width and height."""


class Masks:
    """Blacks out polygons. Their pixels are worked out once per frame size. Used by one thread."""

    def __init__(self, polygons: Sequence[FractionPolygon]) -> None:
        self._polygons = [list(polygon) for polygon in polygons]
        self._size = (0, 0)
        self._pixels: list[NDArray[np.int32]] = []

    def __bool__(self) -> bool:
        return bool(self._polygons)

    def apply(self, picture: U8) -> U8:
        """Black out in place, and return `picture`. Every pixel that a polygon touches goes black."""
        if not self._polygons:
            return picture
        height, width = picture.shape[:2]
        if (width, height) != self._size:
            self._size = (width, height)
            self._pixels = [outer_pixels(polygon, width, height) for polygon in self._polygons]
        cv2.fillPoly(picture, self._pixels, (0, 0, 0))
        return picture


def outer_pixels(polygon: FractionPolygon, width: int, height: int) -> NDArray[np.int32]:
    """Pixel corners of `polygon`: each the pixel in which it lies; 1.0 belongs to the last pixel."""
    corners = np.asarray(polygon, dtype=np.float64) * (width, height)
    return np.minimum(np.floor(corners), (width - 1, height - 1)).astype(np.int32)
