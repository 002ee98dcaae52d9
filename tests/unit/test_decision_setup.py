from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from edgenode.decision_setup import build_decider, build_rules, region_labels, replay_ids, uuid7
from edgenode.errors import ConfigurationError
from edgenode.inference.card import InputSpec, ModelCard, Threshold, Training, golden_vector
from edgenode.records import ModelIdentity, Prediction
from edgenode.settings import Settings

T0 = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def card(*labels: str, thresholds: list[Threshold] | None = None, **more: Any) -> ModelCard:
    spec = InputSpec(height=8, width=8)
    probabilities = np.full((2, len(labels)), 1 / len(labels), np.float32)
    return ModelCard(
        name="parts",
        version="1",
        labels=list(labels),
        input=spec,
        thresholds=thresholds or [],
        training=Training(architecture="tiny", parameters=1),
        golden=golden_vector(spec, probabilities),
        **more,
    )


def settings(rules: list[dict[str, Any]], smoothing: dict[str, Any] | None = None) -> Settings:
    return Settings.model_validate(
        {
            "node": {"name": "n"},
            "models": {"parts": {"file": "parts.onnx"}},
            "cameras": [
                {
                    "name": "line_1",
                    "source": "a.mp4",
                    "regions": [{"name": "belt", "smoothing": smoothing or {}}],
                },
                {"name": "gate", "source": "b.mp4"},
            ],
            "rules": rules,
        }
    )


CARD = card("ok", "defect", thresholds=[Threshold(label="defect", enter=0.35, leave=0.2)])


@pytest.mark.parametrize(
    ("smoothing", "expected"),
    [
        ({}, {"defect": (0.35, 0.2), "ok": (0.6, 0.4)}),
        ({"enter": 0.8}, {"defect": (0.8, 0.4), "ok": (0.8, 0.4)}),
        ({"labels": {"ok": {"enter": 0.9, "leave": 0.7}}}, {"defect": (0.35, 0.2), "ok": (0.9, 0.7)}),
        (
            {"leave": 0.5, "labels": {"defect": {"enter": 0.9, "leave": 0.7}}},
            {"defect": (0.9, 0.7), "ok": (0.6, 0.5)},
        ),
    ],
)
def test_thresholds_come_from_the_nearest_place(
    smoothing: dict[str, Any], expected: dict[str, tuple[float, float]]
) -> None:
    decider = build_decider(settings([], smoothing), {"parts": CARD})
    assert {label: decider.thresholds("line_1", "belt", label) for label in expected} == expected


def test_camera_without_regions_has_one_named_frame() -> None:
    configured = settings([{"name": "r", "when": 'gate == "ok" and gate.frame == "ok"'}])
    labels = region_labels(configured, {"parts": CARD})
    assert list(labels) == [("line_1", "belt"), ("gate", "frame")]
    build_rules(configured, labels)


def test_settings_make_a_working_whole() -> None:
    configured = settings(
        [
            {
                "name": "bad",
                "when": 'line_1.belt == "defect"',
                "for": "300ms",
                "cooldown": "2s",
                "severity": "critical",
                "snapshot": True,
                "schedule": {"hours": ["11:00-14:00"], "days": ["mon"], "timezone": "Europe/London"},
            },
            {"name": "late", "when": "rule.bad", "schedule": {"days": ["sun"]}},
            {
                "name": "turn",
                "sequence": ['belt == "defect"', 'duration(belt == "defect") > 1'],
                "within": "4s",
            },
        ],
        {"window": "500ms"},
    )
    decider = build_decider(configured, {"parts": CARD})
    rules = build_rules(configured, region_labels(configured, {"parts": CARD}), replay_ids("a.mp4"))
    found = []
    for i in range(40):
        t = i / 10
        p = 0.05 if i < 15 else 0.95
        array = np.array([1 - p, p], np.float32)
        best = int(array.argmax())
        at = T0 + timedelta(seconds=t)
        model = ModelIdentity("parts", "1", "0" * 64)
        found += rules.observe(
            decider.observe(
                Prediction(
                    "line_1", "belt", model, ("ok", "defect"), array, ("ok", "defect")[best],
                    float(array[best]), i, t, at, 1,
                )
            )
        )  # fmt: skip
        found += rules.tick(t, at)
    assert [(event.rule, event.event_type, str(event.severity)) for event in found] == [
        ("bad", "start", "critical"),
        ("turn", "start", "warning"),
    ]
    assert UUID(found[0].id).version == 7


def test_all_problems_of_all_rules_are_told() -> None:
    configured = settings(
        [
            {"name": "a", "when": 'lin_1.belt == "defect"'},
            {"name": "b", "when": 'belt == "defct"', "within": "3s"},
            {
                "name": "c",
                "when": 'belt == "ok"',
                "schedule": {"hours": "6-22", "timezone": "Europe/Berlinn"},
            },
        ]
    )
    with pytest.raises(ConfigurationError) as caught:
        build_rules(configured, region_labels(configured, {"parts": CARD}))
    assert caught.value.problems == [
        "rules.b.within: belongs to a sequence, there is none",
        'rules.c.schedule.timezone: no time zone "Europe/Berlinn"; did you mean "Europe/Berlin"? '
        "(IANA names, such as Europe/Berlin; they come with the system's tzdata)",
        'rules.c.schedule.hours: hours are written like "06:00-22:00", not "6-22"',
        'rules.a.when, column 1: no camera is named "lin_1"; did you mean "line_1"?',
        'rules.b.when, column 9: line_1.belt has no label "defct"; did you mean "defect"? '
        "(it has: ok, defect, unknown, invalid)",
    ]


def test_thresholds_for_labels_the_model_lacks_are_refused() -> None:
    configured = settings([], {"labels": {"defekt": {"enter": 0.9, "leave": 0.7}}})
    with pytest.raises(ConfigurationError) as caught:
        build_decider(configured, {"parts": CARD})
    assert caught.value.problems == [
        'cameras.line_1.regions.belt.smoothing.labels: model parts has no label "defekt"; '
        'did you mean "defect"? (it has: ok, defect)'
    ]


def test_without_a_card_labels_are_not_checked_but_names_are() -> None:
    configured = settings([{"name": "a", "when": 'belt == "whatever" and bell == "x"'}])
    with pytest.raises(ConfigurationError) as caught:
        build_rules(configured, region_labels(configured, {}))
    assert caught.value.problems == [
        'rules.a.when, column 24: no region is named "bell"; did you mean "belt"?'
    ]


def test_camera_may_not_be_called_rule() -> None:
    configured = Settings.model_validate(
        {
            "models": {"parts": {"file": "parts.onnx"}},
            "cameras": [{"name": "rule", "source": "a.mp4"}],
        }
    )
    with pytest.raises(ConfigurationError, match="stands for rules in expressions"):
        build_rules(configured, region_labels(configured, {"parts": CARD}))


def test_multi_label_model_may_not_have_the_label_none() -> None:
    configured = settings([])
    labels = region_labels(configured, {"parts": card("none", "rust", task="multi_label")})
    with pytest.raises(ConfigurationError, match='has a label "none"'):
        build_rules(configured, labels)


def test_identifiers_are_uuids_in_the_order_of_time() -> None:
    first, second = UUID(uuid7(T0)), UUID(uuid7(T0 + timedelta(milliseconds=1)))
    assert (first.version, first.variant) == (7, UUID(int=0x8 << 60).variant)
    assert str(first) < str(second)
    assert first.int >> 80 == int(T0.timestamp() * 1000)
    assert uuid7(T0) != uuid7(T0)


def test_identifiers_of_a_replay_are_the_same_each_time() -> None:
    one, other, third = replay_ids("x"), replay_ids("x"), replay_ids("y")
    ids = [one(T0), one(T0)]
    assert ids == [other(T0), other(T0)]
    assert ids[0] != ids[1]
    assert third(T0) != ids[0]
    assert UUID(ids[0]).version == 7
