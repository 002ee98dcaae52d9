"""How good events are against the truth: event precision, recall, F1, errors of start and end.

An event and a truth interval can be a pair when they have the same region and label and overlap, or miss each
other by at most `tolerance_s`. Pairs are one to one: the second fragment of one true interval is a false
event. Of all matchings in the order of time, the one with most pairs is taken, and of those the one with the
least sum of start errors (dynamic programming over both lists in the order of their starts; since intervals
of one region and label don't overlap each other, no matching that crosses in time is better).

precision = pairs / events, recall = pairs / true intervals, F1 = 2·pairs / (events + true intervals).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from pathlib import Path
from statistics import median

from edgenode.errors import DataError
from edgenode.records import Event, EventType

COLUMNS = ("clip", "region", "label", "start_s", "end_s")


@dataclass(frozen=True, slots=True)
class TruthInterval:
    """One line of a truth file; seconds of the clip's own clock. `region` may also be the name of a rule."""

    clip: str
    region: str
    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class EventInterval:
    """One event from start to end. `end_s` is infinite for one that never ended."""

    clip: str
    rule: str
    region: str
    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class EventPair:
    """An event and the truth it reports. Errors are event minus truth: positive is late."""

    truth: TruthInterval
    event: EventInterval

    @property
    def start_error_s(self) -> float:
        return self.event.start_s - self.truth.start_s

    @property
    def end_error_s(self) -> float | None:
        """None for an event that never ended."""
        return None if self.event.end_s == inf else self.event.end_s - self.truth.end_s


@dataclass(frozen=True, slots=True)
class EventScore:
    """Pairs, events without truth and truth without event. Ratios without a denominator are None."""

    pairs: tuple[EventPair, ...]
    false_events: tuple[EventInterval, ...]
    missed: tuple[TruthInterval, ...]

    @property
    def precision(self) -> float | None:
        return _ratio(len(self.pairs), len(self.pairs) + len(self.false_events))

    @property
    def recall(self) -> float | None:
        return _ratio(len(self.pairs), len(self.pairs) + len(self.missed))

    @property
    def f1(self) -> float | None:
        return _ratio(2 * len(self.pairs), 2 * len(self.pairs) + len(self.false_events) + len(self.missed))

    @property
    def start_errors_s(self) -> list[float]:
        return [pair.start_error_s for pair in self.pairs]

    @property
    def end_errors_s(self) -> list[float]:
        return [error for pair in self.pairs if (error := pair.end_error_s) is not None]

    def text(self) -> str:
        """For the terminal: a line for all, one for the errors, one for each miss and false event."""
        lines = [
            f"events: {len(self.pairs) + len(self.false_events)}, "
            f"true intervals: {len(self.pairs) + len(self.missed)}, pairs: {len(self.pairs)}",
            f"precision {_shown(self.precision)}, recall {_shown(self.recall)}, F1 {_shown(self.f1)}",
        ]
        for name, errors in (("start", self.start_errors_s), ("end", self.end_errors_s)):
            if errors:
                lines.append(
                    f"{name} error: median {median(errors):+.2f} s, "
                    f"earliest {min(errors):+.2f} s, latest {max(errors):+.2f} s"
                )
        lines.extend(
            f"missed: {each.clip} {each.region} {each.label} {each.start_s:.2f} to {each.end_s:.2f} s"
            for each in self.missed
        )
        lines.extend(
            f"false: {each.clip} {each.region} {each.label} {each.start_s:.2f} to {each.end_s:.2f} s "
            f"(rule {each.rule})"
            for each in self.false_events
        )
        return "\n".join(lines)


def read_truth(path: Path) -> list[TruthInterval]:
    """The intervals of a CSV file with the columns `clip,region,label,start_s,end_s`.

    Raises DataError naming the file, the line and what is wrong with it.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            header = tuple(name.strip() for name in next(rows, []))
            if header != COLUMNS:
                raise DataError(f"{path}: the first line must be {','.join(COLUMNS)}, not {','.join(header)}")
            return [_interval(path, rows.line_num, row) for row in rows if row and not row[0].startswith("#")]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _interval(path: Path, line: int, row: list[str]) -> TruthInterval:
    if len(row) != len(COLUMNS):
        raise DataError(f"{path}, line {line}: {len(row)} values instead of {len(COLUMNS)}")
    clip, region, label, start, end = (value.strip() for value in row)
    try:
        start_s, end_s = float(start), float(end)
    except ValueError:
        raise DataError(f'{path}, line {line}: "{start}" or "{end}" is no number of seconds') from None
    if not 0.0 <= start_s < end_s < inf:
        raise DataError(f"{path}, line {line}: start_s must be from 0 and before end_s ({start} to {end})")
    return TruthInterval(clip, region, label, start_s, end_s)


def event_intervals(events: Iterable[Event], zero_at: datetime, clip: str = "") -> list[EventInterval]:
    """Events as intervals in seconds after `zero_at`, the UTC of the clip's beginning; by start."""
    found: dict[str, EventInterval] = {}
    for event in events:
        end_s = inf if event.ended_at is None else (event.ended_at - zero_at).total_seconds()
        if event.event_type is EventType.START or event.id not in found:
            start_s = (event.started_at - zero_at).total_seconds()
        else:
            start_s = found[event.id].start_s
        region, label = event.region or "", event.label or ""
        if event.id in found:
            region, label = found[event.id].region, found[event.id].label
        found[event.id] = EventInterval(clip, event.rule, region, label, start_s, end_s)
    return sorted(found.values(), key=lambda each: (each.start_s, each.rule, each.region))


def score_events(
    events: Sequence[EventInterval],
    truth: Sequence[TruthInterval],
    tolerance_s: float = 0.5,
    shortest_s: float = 0.0,
    labels: frozenset[str] | None = None,
) -> EventScore:
    """Match events with truth and count.

    A truth interval whose `region` is the name of a rule is matched with that rule's events, whatever their
    label; others by clip, region and label. Intervals shorter than `shortest_s` need not be reported, and it
    is no mistake if they are. `labels`: truth of other labels is left out (a file may also label the normal
    state).
    """
    rules = {event.rule for event in events}
    groups: dict[tuple[str, str, str], tuple[list[EventInterval], list[TruthInterval]]] = {}
    by_rule = {each.region for each in truth} & rules - {event.region for event in events}
    for each in truth:
        if each.region in by_rule:
            groups.setdefault((each.clip, each.region, ""), ([], []))[1].append(each)
        elif labels is None or each.label in labels:
            groups.setdefault((each.clip, each.region, each.label), ([], []))[1].append(each)
    for event in events:
        key = (
            (event.clip, event.rule, "") if event.rule in by_rule else (event.clip, event.region, event.label)
        )
        groups.setdefault(key, ([], []))[0].append(event)
    pairs: list[EventPair] = []
    false_events: list[EventInterval] = []
    missed: list[TruthInterval] = []
    for reported, true in groups.values():
        matched = match(reported, true, tolerance_s)
        paired_events = {id(pair.event) for pair in matched}
        paired_truth = {id(pair.truth) for pair in matched}
        pairs.extend(pair for pair in matched if _length(pair.truth) >= shortest_s)
        false_events.extend(each for each in reported if id(each) not in paired_events)
        missed.extend(each for each in true if id(each) not in paired_truth and _length(each) >= shortest_s)
    return EventScore(
        tuple(sorted(pairs, key=lambda pair: (pair.truth.clip, pair.truth.start_s, pair.truth.region))),
        tuple(sorted(false_events, key=lambda each: (each.clip, each.start_s, each.region))),
        tuple(sorted(missed, key=lambda each: (each.clip, each.start_s, each.region))),
    )


def match(
    events: Sequence[EventInterval], truth: Sequence[TruthInterval], tolerance_s: float
) -> list[EventPair]:
    """The best one-to-one pairs in the order of time, see the module's text. Regions and labels aren't looked
    at."""
    reported = sorted(events, key=lambda each: (each.start_s, each.end_s))
    true = sorted(truth, key=lambda each: (each.start_s, each.end_s))
    best: list[list[tuple[int, float]]] = [[(0, 0.0)] * (len(true) + 1) for _ in range(len(reported) + 1)]
    for i, event in enumerate(reported, 1):
        row, above = best[i], best[i - 1]
        for j, each in enumerate(true, 1):
            choice = max(above[j], row[j - 1])
            if _close(event, each, tolerance_s):
                count, cost = above[j - 1]
                choice = max(choice, (count + 1, cost - abs(event.start_s - each.start_s)))
            row[j] = choice
    pairs: list[EventPair] = []
    i, j = len(reported), len(true)
    while i > 0 and j > 0:
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append(EventPair(true[j], reported[i]))
    return pairs[::-1]


def _close(event: EventInterval, truth: TruthInterval, tolerance_s: float) -> bool:
    return event.start_s <= truth.end_s + tolerance_s and truth.start_s <= event.end_s + tolerance_s


def _length(truth: TruthInterval) -> float:
    return truth.end_s - truth.start_s


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _shown(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.3f}"
