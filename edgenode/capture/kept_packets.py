"""Compressed packets since the last key frame, kept in case the gate opens."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import av

MAX_PACKETS, MAX_BYTES = 600, 8 * 2**20
"""A group longer than this is decoded although nothing happens: the gate saves nothing there."""


class Kept(NamedTuple):
    packet: av.Packet
    keyframe: bool
    size: int
    arrived_s: float
    """Monotonic."""


class KeptPackets:
    """What the decoder has not seen, in order: a whole group from its key frame, or the rest of one whose
    beginning it has seen. Used by one thread."""

    def __init__(self) -> None:
        self._packets: deque[Kept] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def full(self) -> bool:
        return len(self._packets) >= MAX_PACKETS or self._bytes >= MAX_BYTES

    def keep(self, packet: av.Packet, keyframe: bool, size: int, arrived_s: float) -> None:
        """A key frame makes what was kept before it useless."""
        if keyframe:
            self.clear()
        self._packets.append(Kept(packet, keyframe, size, arrived_s))
        self._bytes += size

    def take(self) -> Kept:
        """The oldest. Raises IndexError when there is none."""
        kept = self._packets.popleft()
        self._bytes -= kept.size
        return kept

    def clear(self) -> None:
        self._packets.clear()
        self._bytes = 0
