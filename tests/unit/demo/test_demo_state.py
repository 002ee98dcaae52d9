"""The tally behind the demo's table: accuracy against the scenes, events, rates, percentiles, summary."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from edgenode.capture.scenes import scene_named
from edgenode.demo.scenario import Expected
from edgenode.demo.state import FEED, Links, Tally
from edgenode.demo.summary import summary
from edgenode.records import Decision, Event, EventType, Severity

START_S = 5000.0
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EXPECTED = {"defective_part": Expected(1, 2), "red_light_running": Expected(0, 0)}
LINKS = Links(
    "http://127.0.0.1:9464/?refresh=2",
    "http://127.0.0.1:9464/metrics",
    "127.0.0.1",
    1883,
    "edgenode/v1/demo/#",
)


@pytest.fixture
def tally() -> Tally:
    scenes = {"line_1": scene_named("line", 1), "junction": scene_named("junction", 1)}
    return Tally(scenes, ("defective_part", "red_light_running"), START_S)


def decision(camera: str, region: str, label: str, captured_s: float, since_s: float = START_S) -> Decision:
    return Decision(
        camera=camera,
        region=region,
        label=label,
        probability=0.9,
        raw_label=label,
        raw_probability=0.95,
        reason="",
        changed=False,
        since_s=since_s,
        since_at=AT,
        captured_s=captured_s,
        captured_at=AT,
        model=None,
    )


def event(number: int, kind: EventType, ended_at: datetime | None = None) -> Event:
    return Event(
        id=f"event-{number}",
        n=0 if kind is EventType.START else 1,
        event_type=kind,
        rule="defective_part",
        severity=Severity.WARNING,
        camera="line_1",
        region="belt",
        label="defect",
        probability=0.9,
        started_at=AT + timedelta(seconds=number),
        ended_at=ended_at,
        captured_at=AT,
        reason="line_1.belt is defect",
    )


def instants(settled: bool, count: int) -> list[float]:
    scene = scene_named("line", 1)
    candidates = (START_S + 0.05 * step for step in range(10_000))
    return [
        t
        for _, t in zip(
            range(count), (t for t in candidates if scene.settled(t)["belt"] is settled), strict=False
        )
    ]


def test_before_anything_happens_nothing_is_claimed(tally: Tally) -> None:
    state = tally.state(START_S, 0.0, None)
    assert state.classifications == 0
    assert state.decided is None
    assert [view.accuracy for view in state.regions] == [None, None, None]
    assert summary(state, EXPECTED, None)["classifications_per_s"] == 0.0


def test_answers_are_judged_against_the_scene_at_the_instant_of_capture(tally: Tally) -> None:
    scene = scene_named("line", 1)
    for number, t_s in enumerate(instants(True, 40)):
        truth = scene.truth(t_s)["belt"]
        wrong = "good" if truth == "defect" else "defect"
        tally.decision(decision("line_1", "belt", wrong if number < 4 else truth, t_s), t_s + 0.01)
    view = tally.state(START_S + 10, 0.0, None).regions[0]
    assert (view.right, view.judged, view.accuracy) == (36, 40, 0.9)


def test_moments_at_which_the_truth_turns_are_not_judged(tally: Tally) -> None:
    for t_s in instants(False, 10):
        tally.decision(decision("line_1", "belt", "defect", t_s), t_s)
    state = tally.state(START_S + 10, 0.0, None)
    assert state.classifications == 10
    assert state.regions[0].judged == 0
    assert not state.regions[0].settled


def test_latency_rate_and_processor_are_of_the_time_they_say(tally: Tally) -> None:
    for step in range(100):
        captured_s = START_S + 0.1 * step
        tally.decision(decision("junction", "signal", "red", captured_s), captured_s + 0.001 * (step + 1))
    state = tally.state(START_S + 10.0, 2.5, LINKS)
    assert state.decided is not None
    assert state.decided.p50_ms == pytest.approx(50.5, abs=0.1)
    assert state.decided.p99_ms == pytest.approx(99.0, abs=0.1)
    assert state.classifications_per_s == pytest.approx(10.0, abs=0.3)
    assert state.cpu_percent == pytest.approx(25.0)
    assert tally.first_s == START_S


def test_an_event_is_one_line_from_start_to_end_and_the_feed_is_bounded(tally: Tally) -> None:
    for number in range(FEED + 5):
        tally.event(event(number, EventType.START))
        ended_at = AT + timedelta(seconds=number, milliseconds=1400)
        tally.event(event(number, EventType.END, ended_at))
    tally.event(event(99, EventType.START))
    state = tally.state(START_S + 60, 0.0, None)
    assert state.started == {"defective_part": FEED + 6, "red_light_running": 0}
    assert len(state.events) == FEED
    assert state.events[0].lasted_s is None
    assert {view.lasted_s for view in state.events[1:]} == {1.4}


def test_messages_are_counted_and_only_live_ones_have_a_latency(tally: Tally) -> None:
    tally.message(START_S + 1, None)
    tally.message(START_S + 1, 0.02)
    state = tally.state(START_S + 2, 0.0, None)
    assert state.messages == 2
    assert state.received is not None
    assert state.received.count == 1


def test_notices_are_few_and_the_newest(tally: Tally) -> None:
    for number in range(9):
        tally.notice(f"warning {number}")
    assert tally.state(START_S + 1, 0.0, None).notices == tuple(f"warning {n}" for n in range(5, 9))


def test_the_summary_is_json_with_the_documented_keys(tally: Tally) -> None:
    scene = scene_named("line", 1)
    for t_s in instants(True, 10):
        tally.decision(decision("line_1", "belt", scene.truth(t_s)["belt"], t_s), t_s + 0.004)
    tally.event(event(0, EventType.START))
    tally.message(START_S + 1, 0.02)
    state = tally.state(START_S + 20, 1.0, LINKS)
    told = json.loads(json.dumps(summary(state, EXPECTED, 0.75)))
    assert summary.__doc__ is not None
    for key in told:
        assert f"`{key}`" in summary.__doc__
    assert told["events"] == {
        "defective_part": {"started": 1, "least": 1, "most": 2},
        "red_light_running": {"started": 0, "least": 0, "most": 0},
    }
    assert told["accuracy"] == {
        "line_1.belt": {"right": 1.0, "of": 10},
        "junction.signal": None,
        "junction.stop_line": None,
    }
    assert told["latency_ms"]["capture_to_decision"] == {"p50": 4.0, "p99": 4.0, "of": 10}
    assert told["metrics_url"] == LINKS.metrics_url
