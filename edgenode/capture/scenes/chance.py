"""Chance without state: the same question always gets the same answer."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


class Chance:
    """Random numbers addressed by what they are for and an index, not drawn one after the other.

    The mixing is SplitMix64's finaliser (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014). For looks, not for secrets.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        self._key = _mix((seed & _MASK) * _GOLDEN ^ zlib.crc32(purpose.encode()))

    def bits(self, *index: int) -> int:
        """64 even bits for `index`."""
        value = self._key
        for part in index:
            value = _mix((value ^ (part & _MASK)) + _GOLDEN)
        return value

    def unit(self, *index: int) -> float:
        """Even in [0, 1)."""
        return (self.bits(*index) >> 11) * 2.0**-53

    def between(self, low: float, high: float, *index: int) -> float:
        return low + (high - low) * self.unit(*index)

    def below(self, count: int, *index: int) -> int:
        """An integer from 0, below `count`."""
        return int(self.unit(*index) * count)

    def pick(self, options: Sequence[T], *index: int) -> T:
        return options[self.below(len(options), *index)]


def _mix(value: int) -> int:
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
