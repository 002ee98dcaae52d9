"""The one function that turns a picture into a model's input, used by node and trainer alike."""

from __future__ import annotations

import cv2
import numpy as np

from edgenode.errors import PictureError
from edgenode.inference.area import shrink, worth_summing
from edgenode.inference.card import InputSpec
from edgenode.records import U8

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
    resized = _RESIZE[spec.resize](picture, spec)
    return np.ascontiguousarray(_recolour(resized, spec))


def _stretch(picture: U8, spec: InputSpec) -> U8:
    return _scale(picture, spec.width, spec.height, spec)


def _letterbox(picture: U8, spec: InputSpec) -> U8:
    height, width = picture.shape[:2]
    ratio = min(spec.width / width, spec.height / height)
    inner_width = max(1, min(spec.width, round(width * ratio)))
    inner_height = max(1, min(spec.height, round(height * ratio)))
    inner = _scale(picture, inner_width, inner_height, spec)
    top = (spec.height - inner_height) // 2
    left = (spec.width - inner_width) // 2
    outer = np.full((spec.height, spec.width, *inner.shape[2:]), LETTERBOX_GREY, dtype=np.uint8)
    outer[top : top + inner_height, left : left + inner_width] = inner
    return outer


def _crop(picture: U8, spec: InputSpec) -> U8:
    height, width = picture.shape[:2]
    ratio = spec.width / spec.height
    if width > height * ratio:
        inner = max(1, round(height * ratio))
        left = (width - inner) // 2
        picture = picture[:, left : left + inner]
    else:
        inner = max(1, round(width / ratio))
        top = (height - inner) // 2
        picture = picture[top : top + inner]
    return _scale(picture, spec.width, spec.height, spec)


_RESIZE = {"stretch": _stretch, "letterbox": _letterbox, "crop": _crop}


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
