"""What the desk makes of predictions, and what it has published of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from edgenode.decision_setup import build_decider, build_rules, region_labels
from edgenode.desk import DecisionDesk
from edgenode.inference.card import InputSpec, ModelCard, Training, golden_vector
from edgenode.records import CameraReport, Decision, Event, ModelIdentity, Prediction
from edgenode.settings import Settings

T0 = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
LABELS = ("good", "bad")


def card() -> ModelCard:
    spec = InputSpec(height=8, width=8)
    return ModelCard(
        name="parts",
        version="1",
        labels=list(LABELS),
        input=spec,
        training=Training(architecture="tiny", parameters=1),
        golden=golden_vector(spec, np.full((2, 2), 0.5, np.float32)),
    )


def settings(*rules: dict[str, Any], cameras: tuple[str, ...] = ("line_1", "line_2")) -> Settings:
    return Settings.model_validate(
        {
            "node": {"name": "n"},
            "models": {"parts": {"file": "parts.onnx"}},
            "cameras": [
                {
                    "name": name,
                    "source": "x.mp4",
                    "regions": [{"name": "belt", "smoothing": {"method": "none"}}],
                }
                for name in cameras
            ],
            "rules": list(rules),
        }
    )


class Outlet:
    def __init__(self) -> None:
        self.states: list[tuple[str, str, str | None]] = []
        self.events: list[Event] = []

    def publish_event(self, event: Event, jpeg: bytes | None) -> None:
        del jpeg
        self.events.append(event)

    def publish_region_state(self, decision: Decision, event_id: str | None) -> None:
        self.states.append((decision.camera, decision.label, event_id))

    def publish_classification(self, prediction: Prediction) -> None:
        """Not looked at here."""

    def publish_camera(self, report: CameraReport) -> None:
        """Nor this."""


class Unmeasured:
    def stage_seconds(self, stage: str, seconds: float) -> None: ...
    def prediction(self, model: str, probability: float) -> None: ...


def desk_of(config: Settings) -> tuple[DecisionDesk, Outlet]:
    cards = {"parts": card()}
    outlet = Outlet()
    rules = build_rules(config, region_labels(config, cards))
    return DecisionDesk(build_decider(config, cards), rules, outlet, Unmeasured(), lambda *_: None), outlet


def said(camera: str, label: str, at_s: float) -> Prediction:
    probabilities = np.array([0.95, 0.05] if label == "good" else [0.05, 0.95], np.float32)
    return Prediction(
        camera=camera,
        region="belt",
        model=ModelIdentity("parts", "1", "a" * 64),
        labels=LABELS,
        probabilities=probabilities,
        label=label,
        probability=0.95,
        frame_index=int(at_s * 10),
        captured_s=at_s,
        captured_at=T0 + timedelta(seconds=at_s),
        batch_size=1,
    )


def test_an_answer_about_a_region_that_a_reload_took_away_does_not_cost_the_others_of_its_batch() -> None:
    desk, outlet = desk_of(settings(cameras=("line_2",)))
    desk.take([said("line_1", "bad", 1.0), said("line_2", "bad", 1.0)])
    assert outlet.states == [("line_2", "bad", None)]


def test_a_state_names_the_event_that_it_opens_and_no_event_after_its_end() -> None:
    desk, outlet = desk_of(settings({"name": "scrap", "when": 'line_1.belt == "bad"'}))
    desk.take([said("line_1", "good", 1.0)])
    desk.take([said("line_1", "bad", 2.0)])
    desk.take([said("line_1", "good", 3.0)])
    start, end = outlet.events
    assert (start.event_type, end.event_type) == ("start", "end")
    assert outlet.states == [
        ("line_1", "good", None),
        ("line_1", "bad", start.id),
        ("line_1", "good", None),
    ]


def test_a_state_is_told_again_when_its_event_begins_later() -> None:
    desk, outlet = desk_of(settings({"name": "scrap", "when": 'line_1.belt == "bad"', "for": "2s"}))
    desk.take([said("line_1", "bad", 1.0)])
    assert outlet.states == [("line_1", "bad", None)]
    desk.tick(4.0, T0 + timedelta(seconds=4))
    (start,) = outlet.events
    assert outlet.states[1:] == [("line_1", "bad", start.id)]


@pytest.mark.parametrize("longer", ["first", "second"])
def test_of_two_events_about_a_region_the_one_that_goes_on_is_named(longer: str) -> None:
    rules = {"first": 'line_1.belt == "bad"', "second": 'line_1.belt == "bad"'}
    other = "second" if longer == "first" else "first"
    desk, outlet = desk_of(settings(*({"name": name, "when": when} for name, when in rules.items())))
    desk.take([said("line_1", "bad", 1.0)])
    ids = {event.rule: event.id for event in outlet.events}
    desk.set_rule_enabled(other, False, 2.0, T0 + timedelta(seconds=2))
    assert outlet.states[-1] == ("line_1", "bad", ids[longer])


def test_a_state_names_its_open_event_after_a_restart() -> None:
    config = settings({"name": "scrap", "when": 'line_1.belt == "bad"'})
    before, outlet = desk_of(config)
    before.take([said("line_1", "bad", 1.0)])
    (start,) = outlet.events
    after, outlet = desk_of(config)
    after.restore(before.export(), 2.0, T0 + timedelta(seconds=2))
    assert outlet.states == [("line_1", "bad", start.id)]
