"""Whether a camera's pictures can be trusted: not frozen, not blind, not moved."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from edgenode.capture.move_watch import MoveWatch
from edgenode.records import F32, U8, CameraStatus

_LOOK_S = 0.5
_ROW_STEP = 16
_DARK, _BRIGHT = 16.0, 239.0
_FLAT_EXTREME, _FLAT = 4.0, 1.0
"""Standard deviation of luma under which a black or white picture, or any picture, shows nothing."""


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """How long something must last before it is the camera's status."""

    frozen_after_s: float = 10.0
    blind_after_s: float = 5.0
    moved_after_s: float = 5.0
    stale_after_s: float = 4.0
    """With a look every half second, staleness is told within 5 s, and before the read timeout of 5 s."""
    hung_after_s: float = 10.0
    """A thread that is silent for so long beyond its timeouts hangs. Looking a host name up, which no timeout of
    ours ends, takes up to 10 s with one name server that does not answer."""


@dataclass(frozen=True, slots=True)
class Distrust:
    """Why pictures cannot be trusted now."""

    status: CameraStatus
    reason: str


class PictureWatch:
    """Looks at pictures twice a second at most. Used by one thread.

    Frozen: identical to the byte for `frozen_after_s`; a real sensor's noise never repeats. Checked where
    `can_freeze`. Blind: black, blown out or covered for `blind_after_s`. Moved: as `moves` says, which outlives
    this watch: a camera that was turned is still turned after a new connection.
    """

    def __init__(self, limits: WatchLimits, can_freeze: bool, moves: MoveWatch | None = None) -> None:
        self._limits = limits
        self._moves = moves
        self._can_freeze = can_freeze
        self._checksum: int | None = None
        self._changed_s = 0.0
        self._blind_since_s: float | None = None
        self._looked_s: float | None = None
        self._distrust: Distrust | None = None

    def wants(self, now_s: float) -> bool:
        """Whether a picture should be looked at now."""
        return self._looked_s is None or now_s - self._looked_s >= _LOOK_S or now_s < self._looked_s

    def look(self, picture: U8, luma: F32, now_s: float) -> Distrust | None:
        """What is wrong with the pictures up to this one, None when nothing is. `picture` is uint8 [H, W, 3], or the
        luma plane [H, W]."""
        self._looked_s = now_s
        checksum = zlib.crc32(picture[::_ROW_STEP].tobytes()) if self._can_freeze else None
        if checksum is None or checksum != self._checksum:
            self._checksum = checksum
            self._changed_s = now_s
        blindness = _blindness(luma)
        if blindness is None:
            self._blind_since_s = None
        elif self._blind_since_s is None:
            self._blind_since_s = now_s
        if self._moves is not None and blindness is None:
            self._moves.look(picture, now_s)
        self._distrust = self._verdict(blindness, now_s)
        return self._distrust

    @property
    def distrust(self) -> Distrust | None:
        """The verdict of the last look."""
        return self._distrust

    def _verdict(self, blindness: str | None, now_s: float) -> Distrust | None:
        since_s = self._blind_since_s
        if blindness is not None and since_s is not None and now_s - since_s >= self._limits.blind_after_s:
            return Distrust(CameraStatus.BLIND, blindness)
        if now_s - self._changed_s >= self._limits.frozen_after_s:
            return Distrust(
                CameraStatus.FROZEN, f"the same picture for more than {self._limits.frozen_after_s:g} s"
            )
        if self._moves is not None and self._moves.moved is not None:
            return Distrust(
                CameraStatus.MOVED,
                f"the view went {self._moves.moved.text}: turn the camera back, or set its regions anew and "
                "switch it off and on",
            )
        return None


def _blindness(luma: F32) -> str | None:
    mean, spread = float(luma.mean()), float(luma.std())
    if spread < _FLAT_EXTREME and mean < _DARK:
        return "the picture is black"
    if spread < _FLAT_EXTREME and mean > _BRIGHT:
        return "the picture is blown out"
    if spread < _FLAT:
        return "the picture shows nothing: is the lens covered?"
    return None
