"""The demo's result as one JSON object. Its keys are documented here and stay."""

from __future__ import annotations

from collections.abc import Mapping

from edgenode.demo.scenario import Expected
from edgenode.demo.state import DemoState, Spread
from edgenode.records import JsonObject


def summary(state: DemoState, expected: Mapping[str, Expected], first_after_s: float | None) -> JsonObject:
    """The summary of a run that is over.

    `seconds`: how long it ran. `first_classification_s`: from the start to the first decision, null if none.
    `classifications`, `classifications_per_s`: decisions, over the whole run.
    `events`: by rule, `started`, and what the scenes say happened: `least` within the run, `most` if
    what its start or end cut in two counts.
    `accuracy`: by `camera.region`, the share of raw answers equal to the truth where it is settled, and `of`
    how many; null where there were none.
    `latency_ms`: `capture_to_decision` and `capture_to_subscriber` (live messages that tell of a
    capture), each `p50`, `p99` and `of` how many; null where there were none.
    `cpu_percent`: of one core, everything in the process. `mqtt_messages_received`: by the subscriber.
    `mqtt_url`, `topics`, `metrics_url`: where it could be watched. `notices`: warnings, the newest four.
    """
    links = state.links
    return {
        "seconds": round(state.elapsed_s, 2),
        "first_classification_s": None if first_after_s is None else round(first_after_s, 3),
        "classifications": state.classifications,
        "classifications_per_s": round(state.classifications / state.elapsed_s, 2)
        if state.elapsed_s
        else 0.0,
        "events": {
            rule: {"started": count, "least": expected[rule].least, "most": expected[rule].most}
            for rule, count in state.started.items()
        },
        "accuracy": {
            f"{view.camera}.{view.region}": None
            if view.accuracy is None
            else {"right": round(view.accuracy, 4), "of": view.judged}
            for view in state.regions
        },
        "latency_ms": {
            "capture_to_decision": _spread(state.decided),
            "capture_to_subscriber": _spread(state.received),
        },
        "cpu_percent": round(state.cpu_percent, 1),
        "mqtt_messages_received": state.messages,
        "mqtt_url": f"mqtt://{links.mqtt_host}:{links.mqtt_port}" if links is not None else None,
        "topics": links.topics if links is not None else None,
        "metrics_url": links.metrics_url if links is not None else None,
        "notices": list(state.notices),
    }


def _spread(spread: Spread | None) -> JsonObject | None:
    if spread is None:
        return None
    return {"p50": round(spread.p50_ms, 1), "p99": round(spread.p99_ms, 1), "of": spread.count}
