"""The wall clock is set by an hour while the node runs: nothing lasts a negative time, and no camera goes stale."""

from __future__ import annotations

import itertools
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from edgenode.clock import SystemClock
from edgenode.configuration.file import load
from edgenode.desk import Hooks
from edgenode.node.node import Node
from edgenode.records import CameraStatus, Event, EventType
from tests.system.daemon import eventually
from tests.system.plant import Plant

HOUR = timedelta(hours=1)


class SteppedClock(SystemClock):
    """The machine's clock as somebody, or a time server, has set it."""

    def __init__(self) -> None:
        self.by = timedelta()

    def now(self) -> datetime:
        return super().now() + self.by


@pytest.mark.parametrize("steps", [(HOUR, timedelta()), (-HOUR, timedelta()), (-HOUR, HOUR)])
def test_the_wall_clock_is_set_while_events_are_open(
    tmp_path: Path, steps: tuple[timedelta, ...], nothing_left_behind: None
) -> None:
    plant = Plant(tmp_path, 1)
    plant.sections["http"]["listen"] = "127.0.0.1:0"
    plant.sections["node"]["drain"] = "100ms"
    plant.camera(
        "line_1", plant.clip(("dark", 0.4), ("bright", 0.4)), loop=True, fps=0, smoothing={"method": "none"}
    )
    plant.rule("lit", 'line_1.frame == "bright"')
    plant.camera("drawn", "synthetic:line", fps=10)
    loaded = load(plant.write(), {})
    events: list[Event] = []
    seen: set[CameraStatus] = set()
    clock = SteppedClock()
    node = Node(loaded.settings, loaded.base_dir, clock, Hooks(on_event=events.append))
    stop = threading.Event()

    def open_now() -> bool:
        seen.update(report.status for report in node.reports.values())
        return bool(events) and events[-1].event_type is EventType.START

    def ended(count: int) -> int:
        return sum(event.event_type is EventType.END for event in events) >= count

    node.start()
    supervisor = threading.Thread(target=node.supervise, args=(stop,), name="supervisor")
    supervisor.start()
    try:
        for step in steps:
            before = len(events)
            eventually(lambda before=before: len(events) > before and open_now(), "an event is open")
            clock.by = step
            had = sum(event.event_type is EventType.END for event in events)
            eventually(lambda had=had: ended(had + 2), "this one and another have ended")
        assert node.health.report().alive
    finally:
        stop.set()
        supervisor.join()
        node.stop()
    lasted = [
        (event.ended_at - event.started_at).total_seconds() for event in events if event.ended_at is not None
    ]
    assert lasted
    assert all(0.0 <= seconds < 60.0 for seconds in lasted), lasted
    assert seen == {CameraStatus.ONLINE}
    kinds = [event.event_type for event in events if event.event_type is not EventType.UPDATE]
    assert kinds[:2] == [EventType.START, EventType.END]
    assert all(first is not second for first, second in itertools.pairwise(kinds))
