"""Frames for others than the classifier: the next one on request, and the last ones that were classified."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from edgenode.records import Frame


class FrameDesk:
    """Thread-safe. Holds the last `keep` classified frames (a 1080p frame has 6 MB) and serves requests."""

    def __init__(self, keep: int) -> None:
        self._recent: deque[tuple[int, Callable[[], Frame]]] = deque(maxlen=max(0, keep))
        self._served = threading.Condition()
        self._waiting = 0
        self._count = 0
        self._frame: Frame | None = None
        self._closed = False

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a frame. Asked by the camera thread for every frame."""
        return self._waiting > 0

    def serve(self, frame: Frame) -> None:
        """Give `frame` to everybody who waits."""
        with self._served:
            if self._waiting:
                self._frame = frame
                self._count += 1
                self._served.notify_all()

    def keep(self, frame_index: int, frame: Callable[[], Frame]) -> None:
        """Remember a classified frame. `frame` makes it when somebody asks: most are never asked for."""
        if self._recent.maxlen:
            with self._served:
                self._recent.append((frame_index, frame))

    def request(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame; None when none came in time or the desk is closed. Any thread."""
        with self._served:
            if self._closed:
                return None
            before = self._count
            self._waiting += 1
            try:
                came = self._served.wait_for(lambda: self._count > before or self._closed, timeout_s)
                return self._frame if came and self._count > before else None
            finally:
                self._waiting -= 1
                if self._waiting == 0:
                    self._frame = None

    def recent(self, frame_index: int) -> Frame | None:
        """The classified frame with this index, while it is still kept. Any thread."""
        with self._served:
            make = next((make for index, make in self._recent if index == frame_index), None)
            return make() if make is not None else None

    def close(self) -> None:
        """Send everybody away who waits, and forget the frames."""
        with self._served:
            self._closed = True
            self._recent.clear()
            self._served.notify_all()
