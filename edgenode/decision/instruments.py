"""What functions of rules remember: entries in a time window, how long a condition holds, parts that passed.

An instrument is updated at each instant at which a region it names was observed, and only then; updating
twice at one instant changes nothing. Times are the rule set's monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import nan
from typing import Protocol

from edgenode.records import INVALID, UNKNOWN, JsonObject

from .control_charts import Chart

ENTRY_LIMIT = 10_000
"""Entries a counter remembers. Beyond it the oldest go, so that a count never exceeds this."""
TICK_S = 1e-6
"""Times closer than this are the same: sums of floats that stand for the same moment may differ in the last
bits."""

Condition = Callable[[], bool]


class Instrument(Protocol):
    """One call of a remembering function in one or several rules."""

    def update(self, now_s: float) -> None: ...

    def value(self, now_s: float) -> float:
        """The number (charts: 1.0 while the chart signals); NaN while it cannot be known."""
        ...

    def measure(self, now_s: float) -> float:
        """The number an event reports as its value."""
        ...

    def export(self) -> JsonObject: ...

    def restore(self, state: JsonObject, offset_s: float) -> None: ...


class EntryCounter:
    """Counts the moments at which a condition begins to hold, over the last `window_s` seconds.

    While a region of the condition is unknown or invalid the counter waits (`waits`), so that a passage
    interrupted by doubt counts once. What holds already at the first look is no entry; `known_false`: it is
    known not to have held before (rules are inactive in the beginning).
    """

    def __init__(
        self,
        holds: Condition,
        waits: Condition,
        window_s: float,
        per_minute: bool = False,
        known_false: bool = False,
    ) -> None:
        self._holds = holds
        self._waits = waits
        self._window_s = window_s
        self._scale = 60.0 / window_s if per_minute else 1.0
        self._before: bool | None = False if known_false else None
        self._entries: deque[float] = deque(maxlen=ENTRY_LIMIT)

    def update(self, now_s: float) -> None:
        if self._waits():
            return
        holds = self._holds()
        if holds and self._before is False:
            self._entries.append(now_s)
        self._before = holds

    def value(self, now_s: float) -> float:
        oldest_s = now_s - self._window_s + TICK_S
        entries = self._entries
        while entries and entries[0] <= oldest_s:
            entries.popleft()
        return len(entries) * self._scale

    measure = value

    def export(self) -> JsonObject:
        return {"before": self._before, "entries": list(self._entries)}

    def restore(self, state: JsonObject, offset_s: float) -> None:
        self._before = state["before"]
        self._entries = deque((each + offset_s for each in state["entries"]), maxlen=ENTRY_LIMIT)


class Duration:
    """Seconds since a condition began to hold; 0 while it doesn't."""

    def __init__(self, holds: Condition) -> None:
        self._holds = holds
        self._since_s: float | None = None

    def update(self, now_s: float) -> None:
        if not self._holds():
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s

    def value(self, now_s: float) -> float:
        return 0.0 if self._since_s is None else now_s - self._since_s

    measure = value

    def export(self) -> JsonObject:
        return {"since_s": self._since_s}

    def restore(self, state: JsonObject, offset_s: float) -> None:
        since_s = state["since_s"]
        self._since_s = None if since_s is None else since_s + offset_s


class PartWatch:
    """Cuts a region's states into parts and judges each once.

    A part is one stay of the region outside its background labels (`empty`): from the entry into any other
    label to the return to a background label. Without background labels every change to another label is a
    new part. It counts as a hit when the condition held at any decided moment of the stay. `unknown` neither
    ends a part nor begins one; `invalid` throws the present part away, for not all of it was seen, and so is
    a part that was there already at the first look.
    """

    def __init__(self, label: Callable[[], str], background: frozenset[str], hit: Condition) -> None:
        self._label = label
        self._background = background
        self._hit = hit
        self._present: str | None = None
        """The label of the part that is passing; None: no part."""
        self._ready = False
        """Whether the beginning of the next part will be seen."""
        self._is_hit = False

    def update(self) -> bool | None:
        """True or false for a part that has just ended, otherwise None."""
        label = self._label()
        if label == UNKNOWN or label == self._present:
            if self._present is not None and label != UNKNOWN:
                self._is_hit = self._is_hit or self._hit()
            return None
        if label == INVALID:
            self._present, self._ready = None, False
            return None
        if self._background:
            if label in self._background:
                ended = self._is_hit if self._present is not None and self._ready else None
                self._present, self._ready = None, True
                return ended
            if self._present is None:
                self._is_hit = False
            self._present = label
            self._is_hit = self._is_hit or self._hit()
            return None
        ended = self._is_hit if self._present is not None and self._ready else None
        self._ready = self._present is not None
        self._present = label
        self._is_hit = self._hit()
        return ended

    def export(self) -> JsonObject:
        return {"present": self._present, "ready": self._ready, "hit": self._is_hit}

    def restore(self, state: JsonObject) -> None:
        self._present, self._ready, self._is_hit = state["present"], state["ready"], state["hit"]


class PartRate:
    """Share of hits among the last `parts` parts; NaN until that many have passed."""

    def __init__(self, watch: PartWatch, parts: int) -> None:
        self._watch = watch
        self._parts = parts
        self._verdicts: deque[bool] = deque(maxlen=parts)

    def update(self, now_s: float) -> None:
        del now_s
        verdict = self._watch.update()
        if verdict is not None:
            self._verdicts.append(verdict)

    def value(self, now_s: float) -> float:
        del now_s
        return sum(self._verdicts) / self._parts if len(self._verdicts) == self._parts else nan

    measure = value

    def export(self) -> JsonObject:
        return {"watch": self._watch.export(), "verdicts": "".join("01"[each] for each in self._verdicts)}

    def restore(self, state: JsonObject, offset_s: float) -> None:
        del offset_s
        self._watch.restore(state["watch"])
        self._verdicts = deque((each == "1" for each in state["verdicts"]), maxlen=self._parts)


class PartChart:
    """Feeds a control chart with the share of hits of each subgroup of `parts` parts."""

    def __init__(self, watch: PartWatch, parts: int, chart: Chart) -> None:
        self._watch = watch
        self._parts = parts
        self._chart = chart
        self._seen = 0
        self._hits = 0

    def update(self, now_s: float) -> None:
        del now_s
        verdict = self._watch.update()
        if verdict is None:
            return
        self._seen += 1
        self._hits += verdict
        if self._seen == self._parts:
            self._chart.add(self._hits / self._parts)
            self._seen = self._hits = 0

    def value(self, now_s: float) -> float:
        del now_s
        return float(self._chart.signals)

    def measure(self, now_s: float) -> float:
        del now_s
        return self._chart.value

    def export(self) -> JsonObject:
        return {
            "watch": self._watch.export(),
            "seen": self._seen,
            "hits": self._hits,
            "chart": self._chart.export(),
        }

    def restore(self, state: JsonObject, offset_s: float) -> None:
        del offset_s
        self._watch.restore(state["watch"])
        self._seen, self._hits = int(state["seen"]), int(state["hits"])
        self._chart.restore(state["chart"])
