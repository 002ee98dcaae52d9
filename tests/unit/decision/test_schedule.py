from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from edgenode.decision.schedule import Schedule, ScheduleWatch, parse_hours

BERLIN = ZoneInfo("Europe/Berlin")


def berlin(day: int, hour: int, minute: int = 0, month: int = 3, fold: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=BERLIN, fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("hour", "minute", "inside"), [(5, 59, False), (6, 0, True), (21, 59, True), (22, 0, False)]
)
def test_begin_is_inside_and_end_is_not(hour: int, minute: int, inside: bool) -> None:
    assert Schedule(((360, 1320),), zone=BERLIN).covers(berlin(2, hour, minute)) is inside


def test_range_over_midnight_belongs_to_the_day_it_begins() -> None:
    night = Schedule((parse_hours("22:00-06:00"),), frozenset({4}), BERLIN)  # Fridays; 2026-03-06 is one
    assert not night.covers(berlin(6, 3))
    assert night.covers(berlin(6, 23))
    assert night.covers(berlin(7, 5, 59))
    assert not night.covers(berlin(7, 6))
    assert not night.covers(berlin(7, 23))


def test_whole_day_and_several_ranges() -> None:
    assert all(Schedule((parse_hours("00:00-24:00"),)).covers(berlin(2, hour)) for hour in range(24))
    two = Schedule((parse_hours("06:00-08:00"), parse_hours("16:00-18:00")), zone=BERLIN)
    assert [two.covers(berlin(2, hour)) for hour in (5, 7, 12, 17, 18)] == [False, True, False, True, False]


def test_local_time_follows_the_clock_change() -> None:
    # 2026-03-29 at 02:00 the clocks in Berlin go to 03:00; 2026-10-25 at 03:00 back to 02:00
    early = Schedule((parse_hours("02:00-03:00"),), zone=BERLIN)
    spring = [datetime(2026, 3, 29, 0, minute, tzinfo=UTC) for minute in range(0, 60, 10)]
    spring += [datetime(2026, 3, 29, 1, minute, tzinfo=UTC) for minute in range(0, 60, 10)]
    assert not any(early.covers(each) for each in spring)
    assert early.covers(berlin(25, 2, 30, month=10, fold=0))
    assert early.covers(berlin(25, 2, 30, month=10, fold=1))


def test_watch_agrees_with_the_schedule_in_any_order_of_asking() -> None:
    schedule = Schedule((parse_hours("06:00-22:00"),), zone=BERLIN)
    watch = ScheduleWatch(schedule)
    times = [berlin(2, 5, 59), berlin(2, 6), berlin(2, 21, 59), berlin(2, 22), berlin(2, 6)]
    for time in times:
        late = time.replace(second=59)
        assert watch.covers(late) is schedule.covers(late)
    assert ScheduleWatch(None).covers(times[0])


@pytest.mark.parametrize("text", ["6-22", "06:00", "06:00-25:00", "06:60-07:00", "six-seven", "06:0-07:00"])
def test_hours_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"hours are written|no time of the day"):
        parse_hours(text)
