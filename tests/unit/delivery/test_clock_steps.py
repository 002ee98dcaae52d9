"""Ages across a wall clock that is set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.clock import ClockSteps, ManualClock


class SetClock(ManualClock):
    """A clock that somebody may set."""

    by = timedelta()

    def now(self) -> datetime:
        return super().now() + self.by


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("step"), st.floats(-7200.0, 7200.0).filter(lambda s: abs(s) >= 0.6)),
            st.tuples(st.just("pass"), st.floats(0.0, 1000.0)),
            st.tuples(st.just("capture"), st.just(0.0)),
        ),
        max_size=40,
    )
)
def test_an_age_is_the_time_that_passed_however_the_clock_was_set(what: list[tuple[str, float]]) -> None:
    clock = SetClock(datetime(2026, 1, 1, tzinfo=UTC))
    steps = ClockSteps(clock)
    captured: list[tuple[datetime, float]] = []
    for kind, seconds in what:
        if kind == "step":
            clock.by += timedelta(seconds=seconds)
        elif kind == "pass":
            clock.advance(seconds)
        else:
            steps.look(len(captured))
            captured.append((clock.now(), clock.monotonic()))
    steps.look(len(captured))
    for number, (at, at_s) in enumerate(captured):
        assert steps.age_s(at, number) == pytest.approx(clock.monotonic() - at_s, abs=1e-3)


def test_slow_corrections_are_no_steps_and_no_age_is_negative() -> None:
    clock = SetClock()
    steps = ClockSteps(clock)
    at = clock.now()
    for _ in range(100):
        clock.by -= timedelta(seconds=0.1)
        steps.look(1)
    assert steps.age_s(at, 0) == 0.0


def test_a_clock_that_is_set_all_the_time_fills_no_memory() -> None:
    clock = SetClock()
    steps = ClockSteps(clock)
    for number in range(1000):
        clock.by += timedelta(hours=1 if number % 2 else -1)
        steps.look(number)
    assert len(steps._steps) <= 100
