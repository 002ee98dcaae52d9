"""`edgenode verify-stream` beside real nodes and a real broker."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from edgenode.records import Severity
from edgenode.settings import OutboxSettings
from tests.servers.mosquitto import MosquittoBroker
from tests.system.delivery.stage import Tally, end, event, publisher, wait_for

ROOT = Path(__file__).resolve().parents[3]
Factory = Callable[..., MosquittoBroker]


class Verifier:
    """The command in a process of its own; entered once the broker's log tells of its subscription."""

    def __init__(self, broker: MosquittoBroker, *options: str) -> None:
        self._broker = broker
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "edgenode", "verify-stream", "--duration", "0s"),
                *("--host", "127.0.0.1", "--port", str(broker.port), *options),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        wait_for(lambda: self.subscriptions == 1, "the verifier listens")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def subscriptions(self) -> int:
        return self._broker.log.count("Sending SUBACK to verify-stream-")

    def wait_heard(self, messages: int) -> None:
        """Until so many have reached the verifier: what is in the broker when it ends is nobody's."""
        taken = "Received PUBACK from verify-stream-"
        wait_for(lambda: self._broker.log.count(taken) >= messages, f"{messages} messages")

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C; exit code and what was said."""
        self._process.send_signal(signal.SIGINT)
        said, _ = self._process.communicate(timeout=60.0)
        return self._process.returncode, said


def talkative(factory: Factory, *lines: str) -> MosquittoBroker:
    broker = factory("log_type all", "max_queued_messages 0", *lines)
    broker.start()
    return broker


def test_a_stream_with_evictions_and_a_restart_is_proven_whole(
    mosquitto_factory: Factory, tmp_path: Path
) -> None:
    broker = talkative(mosquitto_factory)
    tally = Tally()

    def life(first: int) -> None:
        node = publisher(broker.port, tmp_path / "state", tally, outbox=OutboxSettings(max_events=30))
        node.start()
        for number in range(first, first + 60):
            rank = Severity.CRITICAL if number % 4 == 0 else Severity.INFO
            node.publish_event(event(number, severity=rank), None)
        wait_for(lambda: tally.counts["appended"] == first + 60, "all were stored")
        if not broker.running:
            broker.start()
        wait_for(lambda: node.status().connected and node.status().outbox_messages == 0, "all is delivered")
        end(node)

    with Verifier(broker, "--json") as verifier:
        life(0)
        broker.stop()
        life(60)
        sent = len(re.findall(r"Received PUBLISH from gateway-7 .*/gateway-7/events/", broker.log))
        assert sent >= 60
        verifier.wait_heard(sent)
        code, said = verifier.interrupt()
    found: dict[str, Any] = json.loads(said)["nodes"]["gateway-7"]
    assert code == 0, said
    assert found["missing"] == found["problems"] == []
    assert found["boots"] == 2
    evicted = tally.evictions["evicted"]
    assert found["given_up"] == {"evicted": evicted}
    assert evicted >= 30
    assert found["messages"] - found["repeated"] + evicted == found["last_seq"]


def test_a_missing_event_is_named_for_one_of_two_nodes(mosquitto_factory: Factory, tmp_path: Path) -> None:
    """The broker's access list keeps one topic from the reader: the node has sent it, the broker has taken it."""
    rules = tmp_path / "acl"
    rules.write_text("topic write #\ntopic read edgenode/v1/+/events/open_rule\n")
    broker = talkative(mosquitto_factory, f"acl_file {rules}")
    with Verifier(broker, "--grace", "0s") as verifier:
        node = publisher(broker.port, tmp_path / "state", Tally())
        other = publisher(broker.port, tmp_path / "other", Tally(), node="gateway-8")
        for each in (node, other):
            each.start()
        for number in range(6):
            node.publish_event(event(number, "secret" if number in (2, 3) else "open_rule"), None)
        other.publish_event(event(1, "open_rule"), None)
        wait_for(lambda: node.status().delivered == 6, "the broker says that it took all")
        wait_for(lambda: other.status().delivered == 1, "the other node's event is taken")
        for each in (node, other):
            end(each)
        verifier.wait_heard(5)
        code, said = verifier.interrupt()
    assert code == 1, said
    assert "gateway-7: 2 MISSING: seq 3 to 4" in said
    assert "gateway-8: nothing is missing" in said


def test_silence_proves_nothing(mosquitto_broker: MosquittoBroker) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "edgenode", "verify-stream", "--duration", "200ms"),
            *("--host", "127.0.0.1", "--port", str(mosquitto_broker.port)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (3, "no event came: nothing is proven\n")
    mosquitto_broker.stop()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "edgenode", "verify-stream"),
            *("--host", "127.0.0.1", "--port", str(mosquitto_broker.port)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_subscription_outlives_the_broker(mosquitto_factory: Factory, tmp_path: Path) -> None:
    broker = talkative(mosquitto_factory)
    with Verifier(broker) as verifier:
        node = publisher(broker.port, tmp_path / "state", Tally())
        node.start()
        for number in range(50):
            node.publish_event(event(number), None)
        wait_for(lambda: node.status().delivered == 50, "the first are taken")
        broker.stop()
        broker.start()
        for number in range(50, 100):
            node.publish_event(event(number), None)
        wait_for(lambda: node.status().delivered == 100, "the rest is taken")
        end(node)
        wait_for(lambda: verifier.subscriptions == 2, "the verifier is back")
        verifier.wait_heard(100)
        code, said = verifier.interrupt()
    assert code == 0, said
    assert "seq 1 to 100" in said
    assert "nothing is missing" in said
    assert "forgot" not in said
