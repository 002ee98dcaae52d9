"""Labels by time: what each region of a clip shows, and when."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from edgenode.errors import DataError

_COLUMNS = ("clip", "region", "label", "start_s", "end_s")


@dataclass(frozen=True, slots=True)
class Interval:
    """From `start_s` on, and before `end_s`, the region shows `label`."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class RegionLabels:
    """The intervals of one region of one clip, in order of time."""

    intervals: tuple[Interval, ...]

    def at(self, time_s: float, margin_s: float = 0.0) -> str | None:
        """The label at `time_s`; None where nothing is said, or within `margin_s` of a change.

        A change is where the label becomes another one or nothing is said; the first start and the last end
        of all are none.
        """
        for number, interval in enumerate(self.intervals):
            if not interval.start_s <= time_s < interval.end_s:
                continue
            before = self.intervals[number - 1] if number else None
            after = self.intervals[number + 1] if number + 1 < len(self.intervals) else None
            if before is not None and _changes(before, interval) and time_s < interval.start_s + margin_s:
                return None
            if after is not None and _changes(interval, after) and time_s >= interval.end_s - margin_s:
                return None
            return interval.label
        return None


def _changes(first: Interval, second: Interval) -> bool:
    return first.label != second.label or second.start_s > first.end_s


def read_intervals(path: Path, clip: str) -> dict[str, RegionLabels]:
    """Region to its labels in `clip` (a file name), from a CSV `clip,region,label,start_s,end_s`.

    Raises DataError naming the row that is wrong, overlaps, or that the file says nothing of the clip.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    reader = csv.DictReader(lines, restval="")
    if tuple(reader.fieldnames or ()) != _COLUMNS:
        raise DataError(f"{path}: the first line must be {','.join(_COLUMNS)}")
    found: dict[str, list[Interval]] = {}
    clips = set()
    for number, row in enumerate(reader, 2):
        try:
            interval = Interval(row["label"].strip(), float(row["start_s"]), float(row["end_s"]))
        except ValueError as error:
            raise DataError(f"{path}: line {number}: {error}") from error
        if not interval.label or not 0 <= interval.start_s < interval.end_s:
            raise DataError(f"{path}: line {number}: needs a label and 0 ≤ start_s < end_s")
        clips.add(row["clip"])
        if row["clip"] == clip:
            found.setdefault(row["region"], []).append(interval)
    if not found:
        raise DataError(f"{path}: says nothing of {clip}; it names {', '.join(sorted(clips)) or 'no clip'}")
    result = {}
    for region, intervals in found.items():
        intervals.sort(key=lambda interval: interval.start_s)
        for first, second in pairwise(intervals):
            if second.start_s < first.end_s:
                raise DataError(
                    f"{path}: {clip}, {region}: {second.label!r} from {second.start_s:g} s overlaps "
                    f"{first.label!r} until {first.end_s:g} s"
                )
        result[region] = RegionLabels(tuple(intervals))
    return result
