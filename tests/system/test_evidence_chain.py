"""The chain of evidence, from the outbox to `edgenode verify`: what was altered or removed is found."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgenode.clock import SystemClock
from edgenode.decision.evidence import link_hash
from edgenode.delivery.publisher import Publisher, PublisherOptions
from edgenode.delivery.subscriber import Subscriber
from edgenode.records import Event, EventType, Severity
from edgenode.settings import MqttSettings, OutboxSettings
from edgenode.telemetry.metrics import Metrics
from tests.profiles import ENVIRONMENT, REPOSITORY, workplace
from tests.profiles import edgenode as command
from tests.servers.mosquitto import MosquittoBroker
from tests.system.daemon import eventually

MODELS = REPOSITORY / "edgenode" / "demo" / "models"

pytestmark = pytest.mark.timeout(900)


def verify(file: Path, *arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "edgenode", "verify", str(file), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events of the drawn junction, chained."""
    folder = tmp_path_factory.mktemp("chain")
    models = {f"{name}.onnx": MODELS / f"{name}.onnx" for name in ("signal_light", "stop_line")}
    config = workplace(folder, "red_light.toml", models)
    config.write_text(config.read_text() + "\n[outbox]\nchain = true\n")
    command(config, "replay", "--until", "100", "--out", folder / "events.jsonl")
    return folder / "events.jsonl"


def rewritten(replayed: Path, to: Path, change: Callable[[list[dict[str, Any]]], object]) -> Path:
    events = [json.loads(line) for line in replayed.read_text().splitlines()]
    change(events)
    to.write_text("".join(json.dumps(event) + "\n" for event in events))
    return to


def test_untouched_events_hold_also_in_another_order_and_twice(replayed: Path, tmp_path: Path) -> None:
    assert verify(replayed)[0] == 0
    lines = replayed.read_text().splitlines()
    assert len(lines) == 6
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_text("\n".join([*reversed(lines), lines[2]]))
    code, text = verify(shuffled, "--head", json.loads(lines[-1])["chain"]["hash"])
    assert code == 0, text


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda events: events[2].update(started_at="1970-01-01T00:00:30.000000Z"), "line 3 (seq 3)"),
        (lambda events: events[2].update(evidence="0" * 64), "line 3 (seq 3)"),
        (lambda events: events.pop(3), "line 4 (seq 5)"),
        (lambda events: events.pop(0), "--after"),
        (lambda events: events[1].pop("chain"), "carries no link"),
    ],
    ids=["altered", "other picture", "removed", "beginning removed", "link removed"],
)
def test_what_was_done_to_the_events_is_found(
    replayed: Path, tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], complaint: str
) -> None:
    code, text = verify(rewritten(replayed, tmp_path / "changed.jsonl", change))
    assert code == 1
    assert complaint in text


def test_a_removed_end_is_found_with_the_newest_hash(replayed: Path, tmp_path: Path) -> None:
    head = json.loads(replayed.read_text().splitlines()[-1])["chain"]["hash"]
    shorter = rewritten(replayed, tmp_path / "shorter.jsonl", lambda events: events.pop())
    assert verify(shorter)[0] == 0
    code, text = verify(shorter, "--head", head)
    assert code == 1
    assert "the end" in text


def event(number: int, jpeg: bytes | None) -> Event:
    now_at = datetime.now(UTC)
    return Event(
        id=f"event-{number}",
        n=0,
        event_type=EventType.START,
        rule="missing",
        severity=Severity.WARNING,
        camera="bench",
        region="left",
        label="absent",
        probability=0.9,
        started_at=now_at,
        ended_at=None,
        captured_at=now_at,
        reason="größer als 0,5",
        evidence=None if jpeg is None else hashlib.sha256(jpeg).hexdigest(),
    )


def delivered(publisher: Publisher, count: int) -> bool:
    return publisher.status().delivered == count


def test_the_chain_goes_on_over_restarts_and_pictures_belong_to_it(
    mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    subscriber = Subscriber("127.0.0.1", mosquitto_broker.port, "edgenode/v1/chained/events/#")
    subscriber.start()
    arrived: list[tuple[str, bytes]] = []
    try:
        for life in range(2):
            options = PublisherOptions(
                node="chained",
                version="1",
                state_dir=tmp_path / "state",
                mqtt=MqttSettings(host="127.0.0.1", port=mosquitto_broker.port),
                outbox=OutboxSettings(chain=True),
                link_hash=link_hash,
            )
            publisher = Publisher(options, Metrics(), SystemClock())
            publisher.start()
            for number in range(3):
                jpeg = f"picture {life} {number}".encode() if number == 1 else None
                publisher.publish_event(event(3 * life + number, jpeg), jpeg)
            eventually(partial(delivered, publisher, 4), "three events and a picture delivered")
            publisher.stop(5.0)
            assert publisher.join(10.0)

        def all_arrived() -> bool:
            arrived.extend((each.topic, each.payload) for each in subscriber.take())
            return len(arrived) == 8

        eventually(all_arrived, "both lives' messages")
    finally:
        subscriber.stop()
    file, pictures = tmp_path / "events.jsonl", tmp_path / "pictures"
    pictures.mkdir()
    for topic, payload in arrived:
        if topic.endswith("/snapshot"):
            (pictures / f"{hashlib.sha256(payload).hexdigest()[:8]}.jpg").write_bytes(payload)
        else:
            with file.open("ab") as out:
                out.write(payload + b"\n")
    code, text = verify(file, "--pictures", pictures)
    assert code == 0, text
    assert "6 events" in text
    next(iter(pictures.iterdir())).write_bytes(b"another picture")
    code, text = verify(file, "--pictures", pictures)
    assert code == 1
    assert "no file in" in text
