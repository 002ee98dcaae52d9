from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.errors import DataError
from edgenode.records import Event, EventType, Severity
from edgenode.replay.scoring import (
    EventInterval,
    TruthInterval,
    event_intervals,
    match,
    read_truth,
    score_events,
)

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def truth(start: float, end: float, region: str = "left", label: str = "absent") -> TruthInterval:
    return TruthInterval("a.mp4", region, label, start, end)


def event(
    start: float, end: float, region: str = "left", label: str = "absent", rule: str = "missing"
) -> EventInterval:
    return EventInterval("a.mp4", rule, region, label, start, end)


def test_perfect_and_late_events() -> None:
    score = score_events([event(1.4, 5.2), event(8.0, inf)], [truth(1.0, 5.0), truth(8.1, 9.0)])
    assert (score.precision, score.recall, score.f1) == (1.0, 1.0, 1.0)
    assert score.start_errors_s == pytest.approx([0.4, -0.1])
    assert score.end_errors_s == pytest.approx([0.2])


def test_false_missed_and_split_events() -> None:
    score = score_events(
        [event(1.0, 2.0), event(3.0, 5.0), event(20.0, 21.0), event(1.0, 5.0, region="right")],
        [truth(1.0, 5.0), truth(30.0, 35.0)],
    )
    assert len(score.pairs) == 1
    assert score.pairs[0].event == event(1.0, 2.0)
    assert [each.start_s for each in score.false_events] == [1.0, 3.0, 20.0]
    assert score.missed == (truth(30.0, 35.0),)
    assert score.precision == pytest.approx(0.25)
    assert score.recall == pytest.approx(0.5)
    assert score.f1 == pytest.approx(2 / 6)


def test_text_tells_the_numbers_and_every_mistake() -> None:
    score = score_events([event(1.5, 5.0), event(20.0, 21.0)], [truth(1.0, 5.0), truth(30.0, 35.0)])
    assert score.text() == (
        "events: 2, true intervals: 2, pairs: 1\n"
        "precision 0.500, recall 0.500, F1 0.500\n"
        "start error: median +0.50 s, earliest +0.50 s, latest +0.50 s\n"
        "end error: median +0.00 s, earliest +0.00 s, latest +0.00 s\n"
        "missed: a.mp4 left absent 30.00 to 35.00 s\n"
        "false: a.mp4 left absent 20.00 to 21.00 s (rule missing)"
    )
    assert "precision –" in score_events([], []).text()


def test_normal_states_and_short_intervals_need_no_event() -> None:
    marks = [truth(0.0, 1.0, label="present"), truth(1.0, 5.0), truth(6.0, 6.4)]
    score = score_events([event(1.0, 5.0)], marks, labels=frozenset({"absent"}), shortest_s=1.0)
    assert (score.f1, len(score.pairs)) == (1.0, 1)
    reported = score_events([event(1.0, 5.0), event(6.1, 6.5)], marks[1:], shortest_s=1.0)
    assert (reported.f1, len(reported.pairs), reported.false_events) == (1.0, 1, ())


def test_truth_may_name_a_rule() -> None:
    score = score_events(
        [event(1.0, 2.0, region="near", label="vehicle", rule="wrong_way")],
        [truth(0.5, 2.5, region="wrong_way", label="up")],
    )
    assert score.f1 == 1.0


def test_tolerance_lets_near_intervals_meet() -> None:
    assert score_events([event(5.3, 6.0)], [truth(1.0, 5.0)], tolerance_s=0.5).f1 == 1.0
    assert score_events([event(5.6, 6.0)], [truth(1.0, 5.0)], tolerance_s=0.5).f1 == 0.0


spans = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=3)


@given(spans, spans, st.integers(0, 3))
def test_matching_is_as_good_as_trying_everything(
    first: list[tuple[int, int]], second: list[tuple[int, int]], tolerance: int
) -> None:
    def laid(lengths: list[tuple[int, int]]) -> list[tuple[float, float]]:
        t, found = 0, []
        for pause, length in lengths:
            found.append((float(t + pause), float(t + pause + length)))
            t += pause + length
        return found

    events = [event(*each) for each in laid(first)]
    marks = [truth(*each) for each in laid(second)]
    pairs = match(events, marks, float(tolerance))
    assert len({pair.event for pair in pairs}) == len({pair.truth for pair in pairs}) == len(pairs)
    free: list[EventInterval | None] = [*events, *[None] * len(marks)]
    best = max(
        sum(
            each is not None
            and each.start_s <= mark.end_s + tolerance
            and mark.start_s <= each.end_s + tolerance
            for each, mark in zip(order, marks, strict=True)
        )
        for order in permutations(free, len(marks))
    )
    assert len(pairs) == best


def step(kind: EventType, identity: str, at: float, started: float, label: str = "absent") -> Event:
    moment = T0 + timedelta(seconds=at)
    ended = moment if kind is EventType.END else None
    return Event(
        identity, 0, kind, "missing", Severity.INFO, "cam", "left", label, 0.9,
        T0 + timedelta(seconds=started), ended, moment, "",
    )  # fmt: skip


def test_event_steps_become_intervals() -> None:
    found = event_intervals(
        [
            step(EventType.START, "a", 2.0, 1.5),
            step(EventType.UPDATE, "a", 3.0, 1.5, "other"),
            step(EventType.END, "a", 4.0, 1.5),
            step(EventType.START, "b", 9.0, 9.0),
        ],
        T0,
        "a.mp4",
    )
    assert found == [event(1.5, 4.0), event(9.0, inf)]


def test_truth_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("clip,region,label,start_s,end_s\n# by eye\na.mp4,left,absent,1.5,2\n\n")
    assert read_truth(path) == [truth(1.5, 2.0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("region,label\n", "the first line must be clip,region,label,start_s,end_s"),
        ("clip,region,label,start_s,end_s\na,b,c,1\n", "line 2: 4 values instead of 5"),
        ("clip,region,label,start_s,end_s\na,b,c,1,x\n", 'line 2: "1" or "x" is no number'),
        ("clip,region,label,start_s,end_s\na,b,c,2,1\n", "line 2: start_s must be from 0 and before end_s"),
        ("clip,region,label,start_s,end_s\na,b,c,nan,1\n", "line 2: start_s must be"),
    ],
)
def test_wrong_truth_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_truth(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_truth_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_truth(tmp_path / "none.csv")
