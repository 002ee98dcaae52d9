"""The governor: who is slowed, how far, and back again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgenode.node.governor import Governor, Limits, Measures

CAMERAS = {"yard": 2, "gate": 5, "line_1": 8, "line_2": 8}


def settle(governor: Governor, measures: Measures, rounds: int = 60) -> dict[str, float]:
    for _ in range(rounds):
        shares = governor.decide(measures).shares
    return dict(shares)


def test_without_excess_nobody_is_slowed() -> None:
    governor = Governor(Limits(watts=10.0), CAMERAS)
    assert settle(governor, Measures(watts=9.9)) == dict.fromkeys(CAMERAS, 1.0)


def test_the_least_important_is_slowed_first_and_fully_before_the_next() -> None:
    governor = Governor(Limits(watts=10.0, slowest=0.2), CAMERAS)
    seen = [governor.decide(Measures(watts=11.0)).shares for _ in range(40)]
    for shares in seen:
        if shares["gate"] < 1.0:
            assert shares["yard"] <= 0.2 + 1e-9
        if shares["line_1"] < 1.0:
            assert shares["gate"] <= 0.2 + 1e-9
        assert shares["line_1"] == shares["line_2"]
    assert seen[0]["yard"] < 1.0
    assert seen[0]["gate"] == 1.0
    assert all(abs(share - 0.2) < 1e-9 for share in seen[-1].values())


def test_rates_come_back_once_there_is_room_and_stay_in_the_gap_between() -> None:
    governor = Governor(Limits(celsius=80.0), CAMERAS)
    slowed = settle(governor, Measures(celsius=85.0), 4)
    assert slowed["yard"] < 1.0
    assert settle(governor, Measures(celsius=76.0)) == slowed  # under the limit, not far enough under it
    assert settle(governor, Measures(celsius=70.0)) == dict.fromkeys(CAMERAS, 1.0)


def test_a_battery_caps_everybody_at_once() -> None:
    governor = Governor(Limits(battery_share=0.5), CAMERAS)
    assert settle(governor, Measures(on_battery=True), 1) == dict.fromkeys(CAMERAS, 0.5)
    assert settle(governor, Measures(), 1) == dict.fromkeys(CAMERAS, 1.0)


def test_what_cannot_be_measured_limits_nothing() -> None:
    governor = Governor(Limits(watts=1.0, celsius=30.0, p95_s=0.001), CAMERAS)
    paces = governor.decide(Measures())
    assert paces.pressure == {}
    assert set(paces.shares.values()) == {1.0}


def test_it_settles_inside_a_budget_that_can_be_kept() -> None:
    """A machine whose draw follows the frames: 4 W idle and 2 W for each camera at its full rate."""
    governor = Governor(Limits(watts=8.0, slowest=0.1), CAMERAS)
    watts, tail = 12.0, []
    for _ in range(300):
        shares = governor.decide(Measures(watts=watts)).shares
        watts = 4.0 + sum(2.0 * share for share in shares.values())
        tail.append(watts)
    assert max(tail[-100:]) <= 8.0 * 1.05
    assert max(tail[-100:]) - min(tail[-100:]) <= 0.4  # it does not swing


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(-20, 120), st.booleans()), max_size=60),
    st.floats(0.01, 1.0),
    st.floats(0.0, 1.0),
)
def test_shares_stay_between_the_slowest_and_one(
    readings: list[tuple[float, float, bool]], slowest: float, battery: float
) -> None:
    governor = Governor(Limits(watts=10.0, celsius=70.0, battery_share=battery, slowest=slowest), CAMERAS)
    for watts, celsius, on_battery in readings:
        paces = governor.decide(Measures(watts=watts, celsius=celsius, on_battery=on_battery))
        assert set(paces.shares) == set(CAMERAS)
        assert all(slowest <= share <= 1.0 for share in paces.shares.values())
        assert 0.0 <= paces.relief <= 3.0
