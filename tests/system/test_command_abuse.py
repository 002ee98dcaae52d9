"""Row 44 of the fault list: thousands of commands that must not be done, at a real node."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.servers.mosquitto import MosquittoBroker
from tests.system.daemon import Daemon, eventually
from tests.system.listener import Listener
from tests.system.plant import ROOT, Plant, StartNode

COUNT = 10_000
WARM_UP = 2_000
SEED = 44
MOST_GROWTH_BYTES = 5 * 2**20
LATE = (datetime.now(UTC) - timedelta(hours=1)).isoformat()


def rss_bytes(node: Daemon) -> int:
    return int(node.metric("process_resident_memory_bytes"))


def answered(listener: Listener, number: int) -> bool:
    """Whether an honest command was answered; asks once more. The broker keeps the order: what came before the
    one that is answered was seen."""
    asked = {"transaction": f"honest-{number}-{time.monotonic_ns()}", "args": {"rule": "lit"}}
    listener.send(f"{ROOT}/commands/explain", json.dumps(asked).encode(), False)
    replies = [each.json for each in listener.of("replies/explain")]
    return any(str(reply["transaction"]).startswith(f"honest-{number}-") for reply in replies)


def said(args: dict[str, object], **more: object) -> bytes:
    return json.dumps({"args": args, **more}).encode()


def attacks(rng: random.Random) -> Callable[[], tuple[str, bytes, bool]]:
    """Each call: a verb, a payload, whether it is retained. None of them may be done."""
    disable: dict[str, object] = {"camera": "line_1"}
    verbs = [
        "camera_disable",
        "rule_disable",
        "reload",
        "snapshot",
        "replay_events",
        "nonsense",
        "état",
        "a b",
    ]
    kinds: list[Callable[[], tuple[str, bytes, bool]]] = [
        lambda: (rng.choice(verbs), rng.randbytes(rng.randrange(300)), False),
        lambda: ("camera_disable", said(disable | {"x": "y" * 5000}), False),
        lambda: ("camera_disable", said(disable), True),
        lambda: ("camera_disable", said(disable, expires_at=LATE), False),
        lambda: ("camera_enable", b'{"transaction": "once", "args": {"camera": "line_1"}}', False),
        lambda: ("rule_disable", b'{"args": ' + b"[" * rng.randrange(1, 4000), False),
        lambda: ("camera_disable", said({"camera": rng.choice([None, 7, "../x", ["line_1"]])}), False),
        lambda: (
            "rule_disable",
            b'{"args": {"rule": "lit"}, "transaction": ' + rng.choice([b"{}", b"1e999", b"-"]),
            False,
        ),
        lambda: ("explain", said({"rule": "lit", "at": rng.choice(["never", 1e300, "9999-99-99"])}), False),
    ]
    return lambda: rng.choice(kinds)()  # noqa: PLW0108 - a kind each time


@pytest.fixture
def broker(mosquitto_factory: Callable[..., MosquittoBroker]) -> MosquittoBroker:
    """It drops nothing on the way."""
    broker = mosquitto_factory("max_queued_messages 0", "max_inflight_messages 1000")
    broker.start()
    return broker


@pytest.mark.slow
def test_ten_thousand_commands_that_must_not_be_done_change_nothing(
    tmp_path: Path, broker: MosquittoBroker, start: StartNode
) -> None:
    with Listener(broker.port, ROOT) as listener:
        abuse(Plant(tmp_path, broker.port), listener, start)


def abuse(plant: Plant, listener: Listener, start: StartNode) -> None:
    print(f"seed {SEED}")
    plant.sections["commands"] = {"rate": 100.0, "disabled": ["replay_events"]}
    plant.camera("line_1", plant.clip(("dark", 0.5), ("bright", 0.5)), loop=True, fps=5)
    plant.rule("lit", 'line_1.frame == "bright"')
    node = start(plant).wait_until_ready()
    listener.wait_events("lit", 2)
    attack = attacks(random.Random(SEED))

    def send(count: int) -> None:
        for _ in range(count):
            verb, payload, retain = attack()
            listener.send(f"{ROOT}/commands/{verb}", payload, retain)
        eventually(lambda: answered(listener, count), "an honest command is answered when the rate allows")

    send(WARM_UP)
    before = rss_bytes(node)
    send(COUNT)
    grown = rss_bytes(node) - before
    print(f"grown by {grown / 2**20:.1f} MiB after {COUNT} commands")
    assert grown <= MOST_GROWTH_BYTES
    seen = len(listener.events("lit"))
    listener.wait_events("lit", seen + 2)
    assert "disabled" not in [each.json["state"] for each in listener.of("cameras/line_1/state")]
    verbs = ("camera_disable", "rule_disable")
    replies = [each.json for each in listener.everything() if each.topic.startswith(f"{ROOT}/replies/")
               and each.topic.endswith(verbs)]  # fmt: skip
    assert replies
    assert {reply["status"] for reply in replies} == {"error"}
    assert "configuration reloaded" not in node.text()
    assert "Traceback" not in node.text()
    for verb in ("camera_disable", "camera_enable", "rule_disable", "explain", "reload"):
        listener.send(f"{ROOT}/commands/{verb}", b"", True)  # nothing retained for the next
    assert node.stop() == 0
