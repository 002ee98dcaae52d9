"""Reading a clip as anyone would, with `cv2.VideoCapture`: what benchmarks compare this package with."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgenode.records import U8


class PlainVideo:
    """A clip that starts again at its end. Used by one thread."""

    def __init__(self, path: Path | str, threads: int | None = None) -> None:
        """`path` may be an address. `threads` for OpenCV's own pool, of the whole process; None leaves its default."""
        cv2.setNumThreads(threads if threads is not None else -1)
        self._video = cv2.VideoCapture(str(path))
        self.fps = float(self._video.get(cv2.CAP_PROP_FPS)) or 25.0

    def read(self) -> U8 | None:
        """The next picture, uint8 [H, W, 3] BGR; None where the clip starts again."""
        ok, picture = self._video.read()
        if not ok:
            self._rewind()
            return None
        return np.asarray(picture, dtype=np.uint8)

    def skip(self) -> None:
        """Decode the next picture without converting it."""
        if not self._video.grab():
            self._rewind()

    def _rewind(self) -> None:
        self._video.set(cv2.CAP_PROP_POS_FRAMES, 0)


def shrink(picture: U8, width: int, height: int) -> U8:
    """A BGR picture as uint8 [1, height, width, 3] RGB."""
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), dtype=np.uint8)[None]
