"""One decoded video frame: its colours and its brightness, each worked out only when asked for."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from edgenode.errors import PictureError
from edgenode.records import U8, Planes

MAX_PIXELS = 64_000_000
"""Larger pictures than this are refused; an 8K frame has 33 million."""
_HD_LINES = 720
_UNSPECIFIED = 2
_LUMA_FIRST = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"})
"""8-bit formats whose first plane is the picture's brightness."""
_HALF_CHROMA = frozenset({"yuv420p", "yuvj420p"})
_HD: dict[int, bool | None] = {1: True, _UNSPECIFIED: None, 5: False, 6: False}
"""ITU-T H.273 matrix coefficients to whether they are BT.709's, None: by the size. The rest is left to FFmpeg."""


class DecodedPicture:
    """Turns one decoded frame into RGB when called. Belongs to the thread that decoded it."""

    __slots__ = ("_frame",)

    def __init__(self, frame: av.VideoFrame) -> None:
        self._frame = frame

    def __call__(self) -> U8:
        return frame_rgb(self._frame)

    def grey(self) -> U8 | None:
        """The luma plane as the decoder left it, uint8 [H, W], not to be written to: nothing is converted.

        None where the format has none, or the picture must be turned first.
        """
        frame = self._frame
        if frame.format.name not in _LUMA_FIRST or frame.rotation % 360:
            return None
        plane = frame.planes[0]
        lines = np.frombuffer(plane, dtype=np.uint8).reshape(plane.height, plane.line_size)
        return lines[:, : plane.width]

    def planes(self) -> Planes | None:
        """The planes as the decoder left them; None where they are others, or the picture must be turned first."""
        frame = self._frame
        if frame.format.name not in _HALF_CHROMA or frame.colorspace not in _HD or frame.rotation % 360:
            return None
        hd = _HD[frame.colorspace]
        luma, blue, red = (
            np.frombuffer(plane, dtype=np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            for plane in frame.planes
        )
        full = frame.format.name == "yuvj420p" or frame.color_range == ColorRange.JPEG
        return Planes(luma, blue, red, bool(frame.height >= _HD_LINES) if hd is None else hd, full)


class Undecodable:
    """Stands for a picture that the decoder refused altogether."""

    __slots__ = ("_shown",)

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __call__(self) -> U8:
        raise PictureError(f"{self._shown}: this frame cannot be decoded")


def no_picture() -> U8:
    """In place of a picture where a packet was not decoded."""
    raise PictureError("a packet that was not decoded has no picture")


def frame_rgb(frame: av.VideoFrame) -> U8:
    """A decoded frame as uint8 [H, W, 3] RGB, upright.

    Colour follows the stream's own matrix and range. Where it names no matrix, pictures of 720 lines and more
    are taken as BT.709 and smaller ones as BT.601, as players do; where it names no range, as limited.
    """
    if frame.width * frame.height > MAX_PIXELS:
        raise PictureError(f"a frame of {frame.width}×{frame.height} is larger than {MAX_PIXELS} pixels")
    matrix = None
    if frame.colorspace == _UNSPECIFIED:
        matrix = Colorspace.ITU709 if frame.height >= _HD_LINES else Colorspace.ITU601
    picture = frame.reformat(
        format="rgb24", src_colorspace=matrix, dst_color_range=ColorRange.JPEG, threads=1
    ).to_ndarray()
    turns = round(frame.rotation / 90.0) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
