"""Which numbers were seen, as ranges: a stream without gaps is one of them, however long it runs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Span:
    """The numbers from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"


class SeqSet:
    """A set of integers; its size is the number of its ranges."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def add(self, first: int, last: int | None = None) -> None:
        """Put in `first`, or all from `first` to `last`."""
        last = first if last is None else last
        # ranges that overlap or touch become one
        low = bisect_right(self._lasts, first - 2)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def remove(self, seq: int) -> None:
        """Take `seq` out, if it is in."""
        at = bisect_right(self._firsts, seq) - 1
        if at < 0 or seq > self._lasts[at]:
            return
        first, last = self._firsts[at], self._lasts[at]
        kept = [(low, high) for low, high in ((first, seq - 1), (seq + 1, last)) if low <= high]
        self._firsts[at : at + 1] = [low for low, _ in kept]
        self._lasts[at : at + 1] = [high for _, high in kept]

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._firsts, seq) - 1
        return at >= 0 and seq <= self._lasts[at]

    def __iter__(self) -> Iterator[Span]:
        return map(Span, self._firsts, self._lasts)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    @property
    def first(self) -> int:
        return self._firsts[0]

    @property
    def last(self) -> int:
        return self._lasts[-1]

    def gaps(self, explained: SeqSet) -> list[Span]:
        """What lies between the first and the last number and is neither here nor in `explained`."""
        whole = SeqSet()
        for span in (*self, *explained):
            whole.add(span.first, span.last)
        if not self:
            return []
        spans = list(whole)
        holes = [Span(a.last + 1, b.first - 1) for a, b in pairwise(spans)]
        return [hole for hole in holes if self.first < hole.first and hole.last < self.last]
