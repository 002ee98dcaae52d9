"""Events about models: what begins ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from edgenode.clock import ManualClock
from edgenode.node.node import Node
from edgenode.records import Event
from edgenode.rollout.telling import Teller
from edgenode.telemetry.drift import DriftReading


def test_the_drift_of_a_model_that_is_taken_away_ends() -> None:
    events: list[Event] = []
    node: Any = SimpleNamespace(
        clock=ManualClock(),
        publisher=SimpleNamespace(publish_event=lambda event, jpeg: events.append(event)),
        pipeline=SimpleNamespace(classifier=lambda name: None),
    )
    teller = Teller(cast(Node, node))
    for model in ("parts", "lids"):
        teller.drift(model, DriftReading(0.9, None), 0.25)
    teller.keep(["lids"])
    starts, (end,) = events[:2], events[2:]
    assert (end.id, end.n, end.event_type) == (starts[0].id, 1, "end")
    assert end.reason == "it is not measured any more"
    teller.keep(["lids"])
    assert len(events) == 3
