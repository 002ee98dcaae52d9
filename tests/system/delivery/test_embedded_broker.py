"""The built-in development broker, which speaks MQTT 3.1.1 only: the publisher falls back by itself."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgenode.delivery.broker import BrokerError, EmbeddedBroker
from tests.system.delivery.stage import Listener, Tally, end, event, publisher, wait_for

pytest.importorskip("amqtt", reason="needs the extra: pip install edgenode[demo]")

# amqtt 0.12 leaves deprecated calls and an unawaited coroutine in its own code
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def forgive_amqtt() -> Iterator[None]:
    """amqtt never closes a connection that it refuses: let that be found here, where it is forgiven."""
    yield
    gc.collect()


def test_events_and_commands_pass_with_3_1_1(tmp_path: Path) -> None:
    broker = EmbeddedBroker()
    broker.start()
    tally = Tally()
    node = publisher(broker.port, tmp_path / "state", tally, {"explain": lambda args: {"fine": True}})
    listener = Listener(broker.port, "edgenode/v1/gateway-7/#", v5=False)
    node.start()
    try:
        for number in range(50):
            node.publish_event(event(number), b"\xff\xd8" if number == 0 else None)
        wait_for(lambda: len(listener.events()) == 50, "every event arrives")
        assert node.status().protocol == "3.1.1"
        assert [e["seq"] for e in listener.events()][:3] == [1, 3, 4]
        assert listener.events()[0]["snapshot_seq"] == 2
        listener.request("edgenode/v1/gateway-7/commands/explain", b'{"transaction": "7"}')
        answer = wait_for(lambda: listener.on("/replies/explain"), "the answer")[0].json
        assert answer == {"status": "ok", "transaction": "7", "data": {"fine": True}}
    finally:
        end(node)
        wait_for(lambda: listener.on("/state")[-1].json["state"] == "stopped", "stopped is said")
        listener.close()
        broker.stop()


def test_it_listens_on_loopback_alone_and_ends_cleanly() -> None:
    threads = threading.active_count()
    broker = EmbeddedBroker()
    broker.start()
    with socket.create_connection(("127.0.0.1", broker.port), timeout=60.0) as connection:
        assert connection.getpeername()[0] == "127.0.0.1"
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    addresses = {line.split()[1] for line in listening if line.split()[3] == "0A"}
    mine = {address.split(":")[0] for address in addresses if int(address.split(":")[1], 16) == broker.port}
    assert mine == {"0100007F"}
    broker.stop()
    broker.stop()
    wait_for(lambda: threading.active_count() <= threads, "no thread is left")


def test_a_taken_port_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BrokerError, match="cannot listen"):
        EmbeddedBroker(taken.getsockname()[1]).start()
