"""Conditions that must begin one after the other, within a time: far lane, then near lane, within four
seconds."""

from __future__ import annotations

from datetime import datetime

from edgenode.records import JsonObject

from .instruments import TICK_S


class Sequence:
    """Follows one sequence of conditions. `step` is told which of them hold at an instant.

    A step counts at the moment its condition begins to hold, strictly after the step before it and at most
    `within_s` after the first one. Conditions that begin at the same instant have no order and don't follow
    each other.

    The reverse passage is followed too, and whichever is completed first uses up what both have gathered:
    after near-far of one vehicle, the near of the next one does not complete far-near.
    """

    def __init__(self, steps: int, within_s: float) -> None:
        self._steps = steps
        self._within_s = within_s
        self._before: list[bool | None] = [None] * steps
        self._forward = _Progress(steps, within_s)
        self._backward = _Progress(steps, within_s)
        self.complete = False
        """The sequence was completed and its last condition still holds."""
        self.begun_s: float | None = None
        """When the first condition of the completed sequence began to hold."""
        self.begun_at: datetime | None = None

    def step(self, holds: list[bool | None], now_s: float, now_at: datetime) -> bool:
        """Whether the sequence is complete at `now_s`. `holds`: of each step, None for one in doubt."""
        begins = [index for index, each in enumerate(holds) if each and self._before[index] is False]
        self._before = [
            before if each is None else each for each, before in zip(holds, self._before, strict=True)
        ]
        for index in begins:
            done = self._forward.take(index, now_s, now_at)
            back = self._backward.take(self._steps - 1 - index, now_s, now_at)
            if done is not None:
                self.complete, (self.begun_s, self.begun_at) = True, done
            if done is not None or back is not None:
                self._forward.clear()
                self._backward.clear()
        if self.complete and not self._before[-1]:
            self.complete = False
        return self.complete

    def progress(self) -> int:
        """How many steps have been seen."""
        return self._steps if self.complete else len(self._forward.times)

    def export(self) -> JsonObject:
        return {
            "before": self._before,
            "forward": self._forward.export(),
            "backward": self._backward.export(),
            "complete": self.complete,
            "begun_s": self.begun_s,
            "begun_at": None if self.begun_at is None else self.begun_at.isoformat(),
        }

    def restore(self, state: JsonObject, offset_s: float) -> None:
        self._before = list(state["before"])
        self._forward.restore(state["forward"], offset_s)
        self._backward.restore(state["backward"], offset_s)
        self.complete = bool(state["complete"])
        begun_s, begun_at = state["begun_s"], state["begun_at"]
        self.begun_s = None if begun_s is None else begun_s + offset_s
        self.begun_at = None if begun_at is None else datetime.fromisoformat(begun_at)


class _Progress:
    """The steps of one direction that have been seen, with their times."""

    def __init__(self, steps: int, within_s: float) -> None:
        self._steps = steps
        self._within_s = within_s
        self.times: list[tuple[float, datetime]] = []

    def take(self, index: int, now_s: float, now_at: datetime) -> tuple[float, datetime] | None:
        """The beginning of the sequence, when step `index` completes it."""
        if self.times and now_s - self.times[0][0] > self._within_s + TICK_S:
            self.times.clear()
        if self.times and index == len(self.times) and now_s > self.times[-1][0]:
            self.times.append((now_s, now_at))
        elif index == 0:
            self.times = [(now_s, now_at)]
        return self.times[0] if len(self.times) == self._steps else None

    def clear(self) -> None:
        self.times.clear()

    def export(self) -> list[list[object]]:
        return [[at_s, at.isoformat()] for at_s, at in self.times]

    def restore(self, state: list[list[str | float]], offset_s: float) -> None:
        self.times = [(float(at_s) + offset_s, datetime.fromisoformat(str(at))) for at_s, at in state]
