"""How many samples of a camera's next frame are worth making, while more are offered than can be taken."""

from __future__ import annotations

from collections import Counter

LEAST = 3


class Appetite:
    """Learns from what was taken between two frames of a camera. Used under the lock of the buffer.

    Half as many again as were taken of the last frame are made of the next, and two more; twice as many as before where
    nothing was left. So a model that is suddenly quicker, or has fewer cameras to share with, is fed in full within a
    few frames.
    """

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        """Since the camera's last frame."""
        self._room: dict[str, int] = {}

    def took(self, camera: str) -> None:
        self._taken[camera] += 1

    def room(self, camera: str, asked: int, dry: bool) -> int:
        """How many of `asked` samples of a new frame to make. `dry`: nothing of the camera waits."""
        taken = self._taken.pop(camera, 0)
        before = self._room.get(camera, asked)
        room = max(LEAST, taken + 2 + taken // 2, 2 * before if dry else before - 1 - before // 4)
        self._room[camera] = min(room, asked)
        return min(room, asked)

    def sated(self, camera: str) -> None:
        """Everything that is offered is taken."""
        self._taken.pop(camera, None)
        self._room.pop(camera, None)
