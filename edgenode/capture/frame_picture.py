"""The colours of one frame, in the form that whoever looks at them needs."""

from __future__ import annotations

from collections.abc import Callable

from edgenode.records import U8, Planes


class FramePicture:
    """Used by the camera's thread; `rgb` also by one other at a time, later, where there are `planes`."""

    __slots__ = ("_convert", "_rgb", "planes")

    def __init__(self, convert: Callable[[], U8], planes: Planes | None = None) -> None:
        """`convert` makes the RGB picture, once; `planes` are the same picture unconverted, where it can be had so."""
        self._convert: Callable[[], U8] | None = convert
        self._rgb: U8 | None = None
        self.planes = planes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height; converts where there are no planes."""
        height, width = self.planes.luma.shape if self.planes is not None else self.rgb().shape[:2]
        return width, height

    def rgb(self) -> U8:
        """uint8 [H, W, 3], not to be written to. Raises PictureError."""
        if self._rgb is None:
            assert self._convert is not None
            rgb = self._convert()
            rgb.flags.writeable = False
            self._rgb = rgb
            self._convert = None  # it holds the decoder's frame
        return self._rgb
