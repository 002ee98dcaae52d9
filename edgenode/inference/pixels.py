"""The one function that turns a picture into a model's input, used by node and trainer alike."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgenode.errors import PictureError
from edgenode.inference.area import shrink, worth_summing
from edgenode.inference.card import InputSpec
from edgenode.inference.small_rgb import small_rgb
from edgenode.records import U8, Planes

cv2.setNumThreads(1)  # one camera thread each: OpenCV's own pool only adds hand-overs

_INTERPOLATION = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST}
LETTERBOX_GREY = 114
"""The grey that fills what a letterboxed picture leaves free."""


def prepare(picture: U8, spec: InputSpec) -> U8:
    """The sample for `picture`: uint8 [H, W, C] as `spec` says, contiguous.

    `picture` is uint8 [h, w, 3] RGB, [h, w, 1] or [h, w] grey. Colour is converted after the resize, on the
    small picture. Grey is ITU-R BT.601 luma (OpenCV's `COLOR_RGB2GRAY`). Raises PictureError on any other
    shape or type.
    """
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or 0 in picture.shape:
        raise PictureError(
            f"a picture must be uint8 [h, w, 3] or [h, w]; this is {picture.dtype} {picture.shape}"
        )
    if picture.ndim == 3 and picture.shape[2] not in (1, 3):
        raise PictureError(f"a picture must have 1 or 3 channels; this has {picture.shape[2]}")
    fit = _fit(spec, picture.shape[0], picture.shape[1])
    cut = picture[fit.top : fit.bottom, fit.left : fit.right]
    return _finished(_scale(cut, fit.inner_width, fit.inner_height, spec), fit, spec)


def prepare_planes(planes: Planes, spec: InputSpec) -> U8 | None:
    """`prepare` for a decoder's planes: averaged as they are, and only the small picture converted to RGB.

    None where that cannot be done, or would not be faster: planes smaller than the input, another interpolation.
    Averages of colours outside RGB's range differ from `prepare`'s, which clips each pixel first.
    """
    height, width = planes.luma.shape
    fit = _fit(spec, height, width)
    if (fit.top, fit.left, fit.bottom, fit.right) != (0, 0, height, width):
        planes = planes.box(fit.left, fit.top, fit.right, fit.bottom)
    rows, columns = planes.blue.shape
    if spec.interpolation != "area" or rows < fit.inner_height or columns < fit.inner_width:
        return None
    return _finished(small_rgb(planes, fit.inner_width, fit.inner_height), fit, spec)


@dataclass(frozen=True, slots=True)
class _Fit:
    """Which part of a picture is taken, and how large it becomes inside the input."""

    top: int
    left: int
    bottom: int
    right: int
    inner_height: int
    inner_width: int


def _fit(spec: InputSpec, height: int, width: int) -> _Fit:
    if spec.resize == "letterbox":
        ratio = min(spec.width / width, spec.height / height)
        inner_width = max(1, min(spec.width, round(width * ratio)))
        inner_height = max(1, min(spec.height, round(height * ratio)))
        return _Fit(0, 0, height, width, inner_height, inner_width)
    top, left, bottom, right = 0, 0, height, width
    if spec.resize == "crop":
        ratio = spec.width / spec.height
        if width > height * ratio:
            inner = max(1, round(height * ratio))
            left = (width - inner) // 2
            right = left + inner
        else:
            inner = max(1, round(width / ratio))
            top = (height - inner) // 2
            bottom = top + inner
    return _Fit(top, left, bottom, right, spec.height, spec.width)


def _finished(inner: U8, fit: _Fit, spec: InputSpec) -> U8:
    """Framed and coloured as `spec` says."""
    if (fit.inner_height, fit.inner_width) != (spec.height, spec.width):
        top = (spec.height - fit.inner_height) // 2
        left = (spec.width - fit.inner_width) // 2
        outer = np.full((spec.height, spec.width, *inner.shape[2:]), LETTERBOX_GREY, dtype=np.uint8)
        outer[top : top + fit.inner_height, left : left + fit.inner_width] = inner
        inner = outer
    return np.ascontiguousarray(_recolour(inner, spec))


def _scale(picture: U8, width: int, height: int, spec: InputSpec) -> U8:
    if picture.shape[0] == height and picture.shape[1] == width:
        return picture
    interpolation = _INTERPOLATION[spec.interpolation]
    if spec.interpolation == "area" and (width > picture.shape[1] or height > picture.shape[0]):
        interpolation = cv2.INTER_LINEAR  # area averaging is defined for shrinking only
    elif spec.interpolation == "area" and worth_summing(picture, width, height):
        return shrink(picture, width, height)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=interpolation), dtype=np.uint8)


def _recolour(picture: U8, spec: InputSpec) -> U8:
    grey = picture.ndim == 2 or picture.shape[2] == 1
    if spec.color == "grey":
        if not grey:
            picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        return picture.reshape(spec.height, spec.width, 1)
    if grey:
        return np.repeat(picture.reshape(spec.height, spec.width, 1), 3, axis=2)
    return picture
