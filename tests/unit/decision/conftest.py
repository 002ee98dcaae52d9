"""Builders for the decision tests: predictions, decisions and rules on a time axis that starts at T0."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np
import pytest

from edgenode.decision.facts import Inventory, RegionLabels
from edgenode.decision.rule import RuleSpec
from edgenode.decision.rules import RuleSet
from edgenode.records import INVALID, UNKNOWN, Decision, Event, JsonObject, ModelIdentity, Prediction

T0 = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MODEL = ModelIdentity("parts", "1", "ab" * 32)
LABELS = ("empty", "ok", "defect")


class Scene:
    """Everything a test needs to put data in and read events out."""

    T0 = T0
    MODEL = MODEL
    LABELS = LABELS
    REGIONS = (("line_1", "belt"), ("line_1", "exit"), ("gate", "lane"))

    @staticmethod
    def at(t: float) -> datetime:
        return T0 + timedelta(seconds=t)

    @staticmethod
    def prediction(
        t: float,
        probabilities: Sequence[float],
        labels: tuple[str, ...] = LABELS,
        camera: str = "line_1",
        region: str = "belt",
        abstain_below: float = 0.0,
    ) -> Prediction:
        array = np.array(probabilities, np.float32)
        best = int(array.argmax())
        return Prediction(
            camera,
            region,
            MODEL,
            labels,
            array,
            labels[best],
            float(array[best]),
            0,
            t,
            Scene.at(t),
            1,
            abstain_below,
        )

    @staticmethod
    def decision(
        t: float, label: str, camera: str = "line_1", region: str = "belt", probability: float = 0.9
    ) -> Decision:
        rest = (1.0 - probability) / (len(LABELS) - 1)
        certain = label not in (UNKNOWN, INVALID)
        return Decision(
            camera,
            region,
            label,
            probability if certain else 0.0,
            label,
            probability,
            f"{label}: made by the test",
            True,
            t,
            Scene.at(t),
            t,
            Scene.at(t),
            MODEL,
            {each: probability if each == label else rest for each in LABELS} if certain else {},
            (label,) if certain else (),
        )

    @staticmethod
    def inventory(labels: tuple[str, ...] = LABELS) -> Inventory:
        return Inventory({key: RegionLabels(labels) for key in Scene.REGIONS})

    @staticmethod
    def rules(*specs: RuleSpec, numbers: Iterator[int] | None = None) -> RuleSet:
        """Rules over REGIONS; their events are numbered by `numbers` (from 0)."""
        source = count() if numbers is None else numbers
        return RuleSet(specs, Scene.inventory(), lambda _: f"event-{next(source)}")

    @staticmethod
    def play(
        rules: RuleSet, steps: Iterable[tuple[float, str]], camera: str = "line_1", region: str = "belt"
    ) -> list[Event]:
        """Decisions (time, label) of one region, each instant closed at once."""
        events: list[Event] = []
        for t, label in steps:
            events += rules.observe(Scene.decision(t, label, camera, region))
            events += rules.tick(t, Scene.at(t))
        return events

    @staticmethod
    def lines(events: Iterable[Event]) -> list[str]:
        """Events as `time type rule n`, for comparison."""
        return [
            f"{(event.captured_at - T0).total_seconds():g} {event.event_type} {event.rule} {event.n}"
            for event in events
        ]

    @staticmethod
    def through_json(state: JsonObject) -> JsonObject:
        loaded: JsonObject = json.loads(json.dumps(state, allow_nan=False))
        return loaded


@pytest.fixture(scope="session")
def scene() -> type[Scene]:
    return Scene
