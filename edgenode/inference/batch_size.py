"""How many waiting samples one run takes: no more than pay."""

from __future__ import annotations

from collections import deque

NEAR = 0.03
"""A larger batch must make a sample cheaper by more than this. Its samples wait for each other, and there is as much
difference between two measurements."""
_KEPT = 5
_ENOUGH = 3
"""Runs of a size before it is judged, beside its first one: some providers prepare in it for the size."""
RECHECK_S = 10.0
"""So often another size than the best is tried again: what else runs on the machine changes."""


class BatchSize:
    """Learns from the model's own runs, while samples wait, what a sample costs in batches of 1, 2, 4 … `most`. Used by
    the engine's thread.

    On a processor many models gain nothing: eight samples take eight times as long, and each is answered with the last.
    """

    def __init__(self, most: int) -> None:
        self._sizes: list[int] = sorted(
            {*(1 << power for power in range(most.bit_length()) if 1 << power < most), most}
        )
        self._runs: dict[int, deque[float]] = {size: deque(maxlen=_KEPT) for size in self._sizes}
        self._costs: dict[int, float] = {}
        """Seconds a sample by size, the median of the last runs."""
        self._warm: set[int] = set()
        self._best = most
        self._rechecked_s = 0.0
        self._next = 0

    @property
    def best(self) -> int:
        """The smallest size that no larger one beats, as far as is known."""
        return self._best

    def limit(self, held: int, now_s: float) -> int:
        """The most that the next run should take, of `held` samples that wait."""
        usable = [size for size in self._sizes if size <= held]
        for size in reversed(usable):
            if size not in self._costs:
                return size
        if usable and now_s - self._rechecked_s >= RECHECK_S:
            self._rechecked_s = now_s
            self._next += 1
            return usable[self._next % len(usable)]
        return self._best

    def ran(self, size: int, seconds: float) -> None:
        """A run of `size` samples, with all that goes with it, took this long from one batch to the next."""
        runs = self._runs.get(size)
        if runs is None:
            return
        if size not in self._warm:
            self._warm.add(size)
            return
        runs.append(seconds / size)
        if len(runs) >= _ENOUGH:
            self._costs[size] = sorted(runs)[len(runs) // 2]
            enough = (1.0 + NEAR) * min(self._costs.values())
            self._best = min(each for each, cost in self._costs.items() if cost <= enough)
