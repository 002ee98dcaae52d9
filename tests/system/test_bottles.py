"""The whole circle on real footage: collect, train, serve over RTSP, classify, publish, and replay the same.

The clip shows three bottles; a hand takes and returns them. The intervals in tests/data/bottles.csv were read
from the frames by eye. The model learns from the first half alone; what is asserted is of the second half,
and of the absences that were running when it began.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edgenode.delivery.subscriber import Subscriber
from tests.servers.mosquitto import MosquittoBroker, free_port
from tests.system.daemon import REPOSITORY, Daemon, eventually

CLIP = "clips/intel_bottle-detection.mp4"
LABELS = REPOSITORY / "tests" / "data" / "bottles.csv"
LEARNT_UNTIL_S = 19.9
"""The first half, from which the model learns; the clip lasts 39.85 s."""
REGIONS = {
    "left": (0.03, 0.30, 0.27, 0.92),
    "middle": (0.38, 0.30, 0.62, 0.92),
    "right": (0.74, 0.30, 0.98, 0.92),
}

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Absence:
    """One event: seconds of the clip; `end_s` None while it lasts."""

    region: str
    start_s: float
    end_s: float | None


def true_absences() -> list[Absence]:
    """Every absence of more than a second, in the order of its start."""
    with LABELS.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == "absent"]
    found = [Absence(row["region"], float(row["start_s"]), float(row["end_s"])) for row in rows]
    return sorted((each for each in found if each.end_s - each.start_s > 1.0), key=lambda each: each.start_s)


def trainer(*arguments: str | Path) -> None:
    subprocess.run(
        [sys.executable, "-c", "from trainer.cli import main; main()", *map(str, arguments)],
        check=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=800,
    )


@pytest.fixture(scope="module")
def bottle_model(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Collected from the first half of the clip and trained with the tutorial's CNN, through the command line."""
    folder = tmp_path_factory.mktemp("bottles")
    regions = [f"--region={name}={','.join(map(str, box))}" for name, box in REGIONS.items()]
    trainer(
        "collect", shared_data / CLIP, *regions, "--labels", LABELS, "--out", folder / "pictures",
        "--every", "133ms", "--to", str(LEARNT_UNTIL_S), "--margin", "0.15",
    )  # fmt: skip
    trainer(
        "fit", folder / "pictures", "--out", folder / "bottle.onnx",
        "--arch", "classic", "--size", "32", "--epochs", "12", "--quantise", "never", "--threads", "1",
    )  # fmt: skip
    return folder / "bottle.onnx"


def configuration(folder: Path, model: Path, source: str, mqtt_port: int, http_port: int) -> Path:
    regions = "".join(
        f"""
  [[cameras.regions]]
  name = "{name}"
  box = {list(box)}
  smoothing = {{ window = "400ms" }}
"""
        for name, box in REGIONS.items()
    )
    rules = "".join(
        f"""
[[rules]]
name = "missing_bottle_{name}"
when = 'bench.{name} == "absent"'
for = "500ms"
snapshot = true
"""
        for name in REGIONS
    )
    config = folder / "edgenode.toml"
    config.write_text(
        f"""
[node]
name = "bottles"
state_dir = "{folder / "state"}"
[mqtt]
host = "127.0.0.1"
port = {mqtt_port}
[http]
listen = "127.0.0.1:{http_port}"
[models.bottle]
file = "{model}"
[[cameras]]
name = "bench"
source = "{source}"
fps = 10
{regions}
{rules}
"""
    )
    return config


def absences(events: list[dict[str, Any]], zero: datetime) -> list[Absence]:
    """From event messages to absences in seconds of the clip; each event must have begun exactly once."""
    steps: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        steps.setdefault(event["id"], []).append(event)
    found = []
    for of_one in steps.values():
        assert [step["n"] for step in of_one] == list(range(len(of_one)))
        assert of_one[0]["event_type"] == "start"
        last = of_one[-1]
        ended = datetime.fromisoformat(last["ended_at"]) if last["event_type"] == "end" else None
        found.append(
            Absence(
                region=last["region"],
                start_s=(datetime.fromisoformat(last["started_at"]) - zero) / timedelta(seconds=1),
                end_s=None if ended is None else (ended - zero) / timedelta(seconds=1),
            )
        )
    return sorted(found, key=lambda each: each.start_s)


def assert_true(found: list[Absence], within_s: float = 1.0) -> None:
    """Every absence that lasts into the second half once, start and end `within_s`, and nothing else there."""
    truth = [each for each in true_absences() if each.end_s is not None and each.end_s > LEARNT_UNTIL_S]
    seen = [each for each in found if each.end_s is None or each.end_s > LEARNT_UNTIL_S]
    assert [each.region for each in seen] == [each.region for each in truth]
    for each, true in zip(seen, truth, strict=True):
        assert abs(each.start_s - true.start_s) <= within_s, (each, true)
        assert each.end_s is not None
        assert true.end_s is not None
        assert abs(each.end_s - true.end_s) <= within_s, (each, true)


def replayed(config: Path) -> list[Absence]:
    out = config.parent / "events.jsonl"
    command = [sys.executable, "-m", "edgenode", "replay", "--config", str(config), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    texts = []
    for _ in range(2):
        subprocess.run(command, check=True, env=environment, timeout=120)
        texts.append(out.read_bytes())
    assert texts[0] == texts[1], "two replays differ"
    events = [json.loads(line) for line in texts[0].splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    return absences(events, datetime.fromisoformat("1970-01-01T00:00:00Z"))


def test_absences_are_reported_over_rtsp_and_mqtt_and_replay_gives_the_same(
    shared_data: Path,
    bottle_model: Path,
    rtsp_server: Callable[..., str],
    mosquitto_broker: MosquittoBroker,
    tmp_path: Path,
) -> None:
    played = tmp_path / "replay"
    played.mkdir()
    from_file = replayed(configuration(played, bottle_model, str(shared_data / CLIP), 1883, 9464))
    assert_true(from_file)

    url = rtsp_server(shared_data / CLIP, loop=False)
    config = configuration(tmp_path, bottle_model, url, mosquitto_broker.port, free_port())
    subscriber = Subscriber("127.0.0.1", mosquitto_broker.port, "edgenode/v1/bottles/#")
    subscriber.start()
    arrived: list[tuple[str, bytes]] = []

    def ended(rule: str) -> Callable[[], bool]:
        def look() -> bool:
            arrived.extend((each.topic, each.payload) for each in subscriber.take())
            return any(
                topic.endswith(f"/events/{rule}") and json.loads(payload)["event_type"] == "end"
                for topic, payload in arrived
            )

        return look

    try:
        with Daemon(config) as node:
            eventually(ended("missing_bottle_right"), "the last bottle is back", patience_s=120.0)
            assert node.stop() == 0
    finally:
        subscriber.stop()
    classified = [
        json.loads(payload) for topic, payload in arrived if topic.endswith("/regions/left/classification")
    ]
    zero = datetime.fromisoformat(classified[0]["captured_at"])
    events = [
        json.loads(payload) for topic, payload in arrived if "/events/" in topic and payload[:1] == b"{"
    ]
    live = absences(events, zero)
    assert_true(live, 2.0)  # frames arrive late on a busy machine
    assert [each.region for each in live] == [each.region for each in from_file]
    for one, other in zip(live, from_file, strict=True):
        assert abs(one.start_s - other.start_s) <= 1.5, (one, other)
    for region in REGIONS:
        states = [
            json.loads(payload)["label"]
            for topic, payload in arrived
            if topic.endswith(f"/cameras/bench/regions/{region}/state") and payload
        ]
        assert {"present", "absent"} <= set(states), (region, states)
    pictures = [payload for topic, payload in arrived if topic.endswith("/snapshot")]
    assert pictures
    assert all(picture[:2] == b"\xff\xd8" for picture in pictures)
