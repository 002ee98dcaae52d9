"""When a rule is in force: hours of the day, days of the week, in a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Local time ranges, the first minute included and the last one not.

    A range that ends before it begins crosses midnight and belongs to the day on which it begins; one that
    ends when it begins lasts a whole day. Local time follows the zone's clock: an hour that the clock skips
    in spring never comes, one that comes twice in autumn counts both times.
    """

    ranges: tuple[tuple[int, int], ...] = ((0, 0),)
    """(from, to) in minutes of the day."""
    days: frozenset[int] = frozenset(range(7))
    """Monday is 0."""
    zone: tzinfo = UTC

    def covers(self, now_at: datetime) -> bool:
        """Whether `now_at` (aware) lies inside."""
        local = now_at.astimezone(self.zone)
        minute, today = local.hour * 60 + local.minute, local.weekday()
        yesterday = (today - 1) % 7
        for begin, end in self.ranges:
            if begin < end:
                if today in self.days and begin <= minute < end:
                    return True
            elif (today in self.days and minute >= begin) or (yesterday in self.days and minute < end):
                return True
        return False


class ScheduleWatch:
    """Asks a schedule at most once a minute of UTC: zones shift by whole minutes in our time."""

    __slots__ = ("_asked", "_covers", "_schedule")

    def __init__(self, schedule: Schedule | None) -> None:
        self._schedule = schedule
        self._asked: datetime | None = None
        self._covers = True

    def covers(self, now_at: datetime) -> bool:
        if self._schedule is None:
            return True
        if self._asked is None or not timedelta() <= now_at - self._asked < timedelta(minutes=1):
            self._asked = now_at.replace(second=0, microsecond=0)
            self._covers = self._schedule.covers(self._asked)
        return self._covers


def parse_hours(text: str) -> tuple[int, int]:
    """Minutes of the day from "06:00-22:00". Raises ValueError saying how it is written."""
    begin, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f'hours are written like "06:00-22:00", not "{text}"')
    return _minutes(begin, text), _minutes(end, text) % 1440


def _minutes(clock: str, text: str) -> int:
    hour, colon, minute = clock.strip().partition(":")
    if not (colon and hour.isdigit() and minute.isdigit() and len(minute) == 2):
        raise ValueError(f'hours are written like "06:00-22:00", not "{text}"')
    minutes = int(hour) * 60 + int(minute)
    if int(minute) > 59 or minutes > 1440:
        raise ValueError(f'"{clock.strip()}" is no time of the day')
    return minutes
