"""Events about models: what begins ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from edgenode.clock import ManualClock
from edgenode.node.memory import StateDirectory
from edgenode.node.node import Node
from edgenode.records import Event, ModelIdentity
from edgenode.rollout.telling import Teller
from edgenode.telemetry.drift import DriftReading

IDENTITY = ModelIdentity("parts", "3", "ab" * 32)


def a_node(folder: Path, events: list[Event]) -> Node:
    node: Any = SimpleNamespace(
        clock=ManualClock(),
        publisher=SimpleNamespace(publish_event=lambda event, jpeg: events.append(event)),
        pipeline=SimpleNamespace(classifier=lambda name: SimpleNamespace(identity=IDENTITY)),
        state_directory=StateDirectory(folder),
    )
    return cast(Node, node)


def test_what_drifted_when_the_node_was_killed_ends_with_its_next_start(tmp_path: Path) -> None:
    events: list[Event] = []
    killed = Teller(a_node(tmp_path, events))
    for model in ("parts", "lids"):
        killed.drift(model, DriftReading(0.9, None), 0.25)
    killed.drift("lids", DriftReading(0.1, None), 0.25)
    (start, _, _), told = events, []
    again = Teller(a_node(tmp_path, told))
    again.keep(["parts", "lids"])
    (end,) = told
    assert end.reason == "the node ended while it drifted; it is measured anew"
    assert replace(end, n=0, event_type=start.event_type, ended_at=None, reason=start.reason) == start
    assert (end.n, end.event_type) == (1, "end")
    again.keep(["parts", "lids"])
    Teller(a_node(tmp_path, told)).keep(["parts", "lids"])
    assert told == [end], "once"
    again.drift("parts", DriftReading(0.9, None), 0.25)
    assert told[1].id != start.id


def test_the_drift_of_a_model_that_is_taken_away_ends(tmp_path: Path) -> None:
    events: list[Event] = []
    teller = Teller(a_node(tmp_path, events))
    for model in ("parts", "lids"):
        teller.drift(model, DriftReading(0.9, None), 0.25)
    teller.keep(["lids"])
    starts, (end,) = events[:2], events[2:]
    assert (end.id, end.n, end.event_type) == (starts[0].id, 1, "end")
    assert end.reason == "it is not measured any more"
    teller.keep(["lids"])
    assert len(events) == 3
