"""Regions of a frame: cut, straightened and prepared for their model; and drawn, for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenode.capture.masks import outer_pixels
from edgenode.records import U8, Planes
from edgenode.settings import RegionSettings

cv2.setNumThreads(1)  # one camera thread each: OpenCV's own pool only adds hand-overs

_PALETTE = ((64, 200, 64), (64, 128, 255), (255, 160, 32), (220, 64, 220), (32, 200, 220), (240, 220, 48))
_INK = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class PixelBox:
    """Columns x0 to x1 and rows y0 to y1, the ends excluded; never empty."""

    x0: int
    y0: int
    x1: int
    y1: int


def pixel_box(box: tuple[float, float, float, float], width: int, height: int) -> PixelBox:
    """The pixels of a box in fractions: each edge goes to the nearest pixel border (halves up).

    Boxes that share an edge share no pixel and leave none out. A box thinner than a pixel becomes one pixel.
    """
    x0, x1 = _span(box[0], box[2], width)
    y0, y1 = _span(box[1], box[3], height)
    return PixelBox(x0, y0, x1, y1)


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    start = min(math.floor(low * size + 0.5), size - 1)
    return start, max(start + 1, min(math.floor(high * size + 0.5), size))


class RegionCutter:
    """One region of one camera. The geometry is worked out once per frame size. Used by one thread.

    `prepare` makes the model's input out of what was cut; it must not write to it. `prepare_planes` does so without
    converting a decoder's planes first, or says None. `model` is a model's name.
    """

    def __init__(
        self,
        name: str,
        model: str,
        shape: RegionSettings,
        prepare: Callable[[U8], U8],
        prepare_planes: Callable[[Planes], U8 | None] | None = None,
    ) -> None:
        self.name = name
        self.model = model
        self.shape = shape
        self._prepare = prepare
        self._prepare_planes = prepare_planes
        self._size = (0, 0)
        self._crop: Callable[[U8], U8] = _whole

    def cut(self, picture: U8) -> U8:
        """The sample of `picture` (uint8 [H, W, 3]): cut, then prepared."""
        return self._prepare(self.crop(picture))

    def cut_planes(self, planes: Planes) -> U8 | None:
        """The sample of `planes`, or None where only `cut` can make it: polygons and quadrilaterals need RGB."""
        shape = self.shape
        if self._prepare_planes is None or shape.polygon is not None or shape.quad is not None:
            return None
        if shape.box is not None:
            height, width = planes.luma.shape
            box = pixel_box(shape.box, width, height)
            planes = planes.box(box.x0, box.y0, box.x1, box.y1)
        return self._prepare_planes(planes)

    def crop(self, picture: U8) -> U8:
        """The region's own pixels, before `prepare`. May be a view of `picture`."""
        height, width = picture.shape[:2]
        if (width, height) != self._size:
            self._size = (width, height)
            self._crop = _cropper(self.shape, width, height)
        return self._crop(picture)

    def outline(self, width: int, height: int) -> NDArray[np.int32]:
        """Pixel corners of the region, [n, 2] as x, y, for drawing."""
        return _outline(self.shape, width, height)


def _whole(picture: U8) -> U8:
    return picture


def _cropper(shape: RegionSettings, width: int, height: int) -> Callable[[U8], U8]:
    if shape.box is not None:
        return _BoxCrop(pixel_box(shape.box, width, height))
    if shape.polygon is not None:
        return _PolygonCrop(shape.polygon, width, height)
    if shape.quad is not None:
        return _QuadCrop(shape.quad, width, height)
    return _whole


class _BoxCrop:
    def __init__(self, box: PixelBox) -> None:
        self._box = box

    def __call__(self, picture: U8) -> U8:
        box = self._box
        return picture[box.y0 : box.y1, box.x0 : box.x1]


class _PolygonCrop:
    """The bounding box of a polygon, black outside of it; pixels on the border belong to it."""

    def __init__(self, polygon: Sequence[tuple[float, float]], width: int, height: int) -> None:
        corners = outer_pixels(polygon, width, height)
        x0, y0 = (int(value) for value in corners.min(axis=0))
        x1, y1 = (int(value) + 1 for value in corners.max(axis=0))
        self._box = _BoxCrop(PixelBox(x0, y0, x1, y1))
        self._inside = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
        cv2.fillPoly(self._inside, [corners - np.array([x0, y0], dtype=np.int32)], 255)

    def __call__(self, picture: U8) -> U8:
        cut = self._box(picture)
        return np.asarray(cv2.bitwise_and(cut, cut, mask=self._inside), dtype=np.uint8)


class _QuadCrop:
    """A quadrilateral straightened to a rectangle as wide and high as its longer opposite edges.

    Corners run clockwise from the top left. A homography by four points (R. Hartley and A. Zisserman,
    "Multiple View Geometry in Computer Vision", 2004, chapter 4), bilinear; what lies beyond the frame
    repeats its edge.
    """

    def __init__(self, quad: Sequence[tuple[float, float]], width: int, height: int) -> None:
        corners = np.asarray(quad, dtype=np.float64) * (width, height)
        top, right, bottom, left = (
            float(np.linalg.norm(corners[(edge + 1) % 4] - corners[edge])) for edge in range(4)
        )
        self._width = max(1, min(round(max(top, bottom)), 4 * width))
        self._height = max(1, min(round(max(left, right)), 4 * height))
        target = np.array(
            [(0, 0), (self._width, 0), (self._width, self._height), (0, self._height)], dtype=np.float64
        )
        # corners are borders between pixels; OpenCV counts from pixel centres, half a pixel further in
        self._matrix = cv2.getPerspectiveTransform(
            (corners - 0.5).astype(np.float32), (target - 0.5).astype(np.float32)
        )

    def __call__(self, picture: U8) -> U8:
        size = (self._width, self._height)
        straight = cv2.warpPerspective(
            picture, self._matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(straight, dtype=np.uint8)


def _outline(shape: RegionSettings, width: int, height: int) -> NDArray[np.int32]:
    polygon = shape.polygon if shape.polygon is not None else shape.quad
    if polygon is not None:
        return outer_pixels(polygon, width, height)
    box = pixel_box(shape.box if shape.box is not None else (0.0, 0.0, 1.0, 1.0), width, height)
    return np.array(
        [(box.x0, box.y0), (box.x1 - 1, box.y0), (box.x1 - 1, box.y1 - 1), (box.x0, box.y1 - 1)],
        dtype=np.int32,
    )


def draw_regions(picture: U8, cutters: Sequence[RegionCutter], labels: Mapping[str, str]) -> U8:
    """A copy of `picture` with every region outlined, and `labels[region name]` written where there is
    one."""
    drawn = picture.copy()
    height, width = drawn.shape[:2]
    scale = max(0.4, height / 900.0)
    thickness = max(1, round(height / 360.0))
    for index, cutter in enumerate(cutters):
        colour = _PALETTE[index % len(_PALETTE)]
        outline = cutter.outline(width, height)
        cv2.polylines(drawn, [outline], isClosed=True, color=colour, thickness=thickness)
        label = labels.get(cutter.name)
        text = f"{cutter.name}: {label}" if label else cutter.name
        _write(drawn, text, (int(outline[:, 0].min()), int(outline[:, 1].min())), scale, colour)
    return drawn


def _write(
    picture: U8, text: str, corner: tuple[int, int], scale: float, colour: tuple[int, int, int]
) -> None:
    """`text` on a plate inside the region's top left corner, shifted to stay within the picture."""
    (width, height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = max(0, min(corner[0], picture.shape[1] - width - 4))
    y = max(0, min(corner[1], picture.shape[0] - height - baseline - 4))
    cv2.rectangle(picture, (x, y), (x + width + 4, y + height + baseline + 4), colour, thickness=cv2.FILLED)
    cv2.putText(
        picture, text, (x + 2, y + height + 2), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, lineType=cv2.LINE_AA
    )
