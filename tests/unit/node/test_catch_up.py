"""After a crash the stored events are ahead of the remembered states: nothing is numbered or ended twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edgenode.clock import ManualClock
from edgenode.decision.event_machine import open_event_from_json
from edgenode.delivery.outbox import Outbox
from edgenode.delivery.outbox_rows import Draft, OutboxLimits
from edgenode.node.catch_up import MARGIN, caught_up, with_steps
from edgenode.records import Message, Severity

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def step(kind: str, event_id: str, n: int, rule: str = "lit", label: str = "bright") -> dict[str, Any]:
    return {
        "event_type": kind,
        "rule": rule,
        "id": event_id,
        "n": n,
        "started_at": "2026-01-01T11:59:58.000000Z",
        "camera": "line_1",
        "region": "belt",
        "label": label,
        "probability": 0.9,
        "value": None,
        "model": {"name": "tiny", "version": "1", "sha256": "ab"},
    }


def remembered(open_event: dict[str, Any] | None) -> dict[str, Any]:
    machine = {"since_s": None, "since_at": None, "cooldown_until_s": None, "open": open_event}
    return {
        "rules": {
            "anchor_s": 5.0,
            "anchor_at": NOW.isoformat(),
            "rules": [{"name": "lit", "machine": machine}],
        }
    }


def machine_after(open_event: dict[str, Any] | None, *steps: dict[str, Any]) -> dict[str, Any]:
    before = remembered(open_event)
    text = json.dumps(before)
    after = with_steps(before, steps)
    assert json.dumps(before) == text, "what was given is left as it was"
    return dict(after["rules"]["rules"][0]["machine"])


OPEN = {"id": "a", "n": 2, "label_now": "dark"}


def test_updates_stored_later_count_on() -> None:
    machine = machine_after(OPEN, step("update", "a", 3), step("update", "a", 4, label="blue"))
    assert machine["open"] == {"id": "a", "n": 4, "label_now": "blue"}


def test_a_step_that_was_made_but_never_stored_is_made_again() -> None:
    assert machine_after(OPEN, step("start", "a", 0), step("update", "a", 1))["open"]["n"] == 1


def test_an_end_stored_later_is_not_said_again() -> None:
    assert machine_after(OPEN, step("update", "a", 3), step("end", "a", 4))["open"] is None


def test_an_event_that_started_later_is_taken_up() -> None:
    machine = machine_after(OPEN, step("end", "a", 3), step("start", "b", 0))
    opened = open_event_from_json(machine["open"], 0.0)
    assert (opened.id, opened.n, opened.subject.camera, opened.label_now) == ("b", 0, "line_1", "bright")
    assert opened.subject.model is not None
    assert opened.started_at == datetime(2026, 1, 1, 11, 59, 58, tzinfo=UTC)


def test_an_old_end_of_another_event_changes_nothing() -> None:
    assert machine_after(OPEN, step("end", "z", 9), step("update", "q", 1, rule="gone"))["open"] == OPEN


def test_only_what_was_stored_since_is_looked_at(tmp_path: Path) -> None:
    clock = ManualClock(NOW - MARGIN - timedelta(seconds=1))
    outbox = Outbox(tmp_path, OutboxLimits(), clock)

    def store(payload: dict[str, Any], topic: str = "n/events/lit") -> None:
        text = json.dumps(payload).encode()
        outbox.append_many([Draft(Severity.INFO, lambda seq: Message(topic, text), None)])

    store(step("update", "a", 90))
    clock.advance(2.0)
    store(step("update", "a", 3))
    store({"lost": []}, "n/events/_outbox")
    outbox.close()
    after = caught_up(remembered(OPEN), tmp_path)
    assert after["rules"]["rules"][0]["machine"]["open"]["n"] == 3


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be one"])
def test_an_unreadable_outbox_leaves_the_memory_as_it_is(tmp_path: Path, content: bytes) -> None:
    assert caught_up(remembered(OPEN), tmp_path) == remembered(OPEN)
    (tmp_path / "outbox.db").write_bytes(content)
    assert caught_up(remembered(OPEN), tmp_path) == remembered(OPEN)
    assert caught_up({"form": "another"}, tmp_path) == {"form": "another"}
