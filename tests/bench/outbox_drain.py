"""How fast a node's outbox empties when the broker comes back, and what classification feels of it.

    python -m tests.bench.outbox_drain [--events 100000] [--cameras 8]

A real node with drawn cameras, an outbox filled beforehand with what an outage leaves behind, a real broker, and
a subscriber in a process of its own that checks the order. Prints classified samples a second and the age of a
sample when it is decided, before and while the outbox empties.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from edgenode.clock import SystemClock
from edgenode.delivery.identity import ClockReading
from edgenode.delivery.messages import Origin, event_message
from edgenode.delivery.outbox import Outbox
from edgenode.delivery.outbox_rows import Draft, OutboxLimits
from edgenode.delivery.topics import Topics
from edgenode.records import Severity
from tests.models import make_model
from tests.servers.mosquitto import MosquittoBroker
from tests.system.daemon import REPOSITORY, Daemon, eventually
from tests.system.delivery.stage import event
from tests.system.plant import NODE, ROOT, Plant

SUBSCRIBER = """
import sys
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
wanted, last, wrong = int(sys.argv[3]), 0, 0
client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bench", protocol=paho.MQTTv5)
client.reconnect_delay_set(0.05, 0.1)
session = Properties(PacketTypes.CONNECT)
session.SessionExpiryInterval = 3600
def on_message(_client, _data, message):
    global last, wrong
    at = message.payload.index(b'"seq":') + 6
    seq = int(message.payload[at : message.payload.index(b",", at)])
    wrong += seq != last + 1
    last = seq
    if seq == wanted:
        print("all", wrong, flush=True)
client.on_message = on_message
client.on_connect = lambda c, *_: c.subscribe(sys.argv[2], qos=1)
client.on_subscribe = lambda *_: print("ready", flush=True)
client.connect("127.0.0.1", int(sys.argv[1]), clean_start=False, properties=session)
client.loop_forever()
"""


@dataclass(frozen=True)
class Reading:
    """Counters of the node at one moment."""

    at_s: float
    classified: float
    dropped: float
    queue_s: float
    queued: float
    cpu_s: float


def read(node: Daemon) -> Reading:
    metrics = node.metrics()

    def total(name: str, **labels: str) -> float:
        wanted = set(labels.items())
        return sum(v for (found, pairs), v in metrics.items() if found == name and wanted <= set(pairs))

    return Reading(
        time.monotonic(),
        total("edgenode_inferences_total"),
        total("edgenode_samples_dropped_total"),
        total("edgenode_stage_seconds_sum", stage="queue"),
        total("edgenode_stage_seconds_count", stage="queue"),
        total("edgenode_cpu_seconds_total"),
    )


def told(what: str, a: Reading, b: Reading) -> None:
    seconds = b.at_s - a.at_s
    queued = max(1.0, b.queued - a.queued)
    print(
        f"{what}: {seconds:.1f} s, {(b.classified - a.classified) / seconds:.1f} samples classified a second, "
        f"{b.dropped - a.dropped:.0f} dropped, {(b.queue_s - a.queue_s) / queued * 1e3:.1f} ms in the queue on "
        f"average, {(b.cpu_s - a.cpu_s) / seconds * 100:.0f} % of a core",
        flush=True,
    )


def fill(folder: Path, count: int) -> None:
    """What an outage leaves: `count` events in the outbox."""
    clock = SystemClock()
    origin = Origin(Topics("edgenode/v1", NODE), "bench", "0", 1)
    outbox = Outbox(folder, OutboxLimits(2**31, 10**7), clock)
    expires_at = clock.now() + timedelta(days=7)
    for first in range(0, count, 500):
        made = [event(number) for number in range(first, min(first + 500, count))]
        outbox.append_many(
            [
                Draft(
                    Severity.WARNING,
                    lambda seq, each=each: event_message(
                        origin, each, seq, ClockReading("unsynchronised", None)
                    ),
                    expires_at,
                    each.captured_at,
                )
                for each in made
            ]
        )
    outbox.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--fps", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="drain-") as name:
        folder = Path(name)
        fill(folder / "state" / "outbox", given.events)
        broker = MosquittoBroker(folder / "broker", ("max_queued_messages 0", "max_inflight_messages 100"))
        plant = Plant(folder, broker.port)
        make_model(folder / "tiny.onnx")
        plant.sections["outbox"] = {"max_events": 10_000_000, "max_size": "2GiB"}
        plant.sections["mqtt"] |= {"reconnect_pause": "500ms", "classification": "off"}
        for number in range(given.cameras):
            plant.camera(f"line_{number}", f"synthetic:line?seed={number}&fps={given.fps}", fps=given.fps)
        broker.start()
        listening = _subscriber(broker.port, given.events)
        broker.stop()
        try:
            with plant.node() as node:
                node.wait_until_ready()
                threading.Event().wait(3.0)
                quiet = read(node)
                threading.Event().wait(10.0)
                told("broker away", quiet, read(node))
                broker.start()
                _drain(node, listening)
                node.stop()
        finally:
            listening.kill()
            listening.wait()
            broker.kill()


def _subscriber(port: int, count: int) -> subprocess.Popen[str]:
    """Its session waits at the broker, so that nothing is acknowledged before somebody wants it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUBSCRIBER, str(port), f"{ROOT}/events/+", str(count)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _drain(node: Daemon, listening: subprocess.Popen[str]) -> None:
    waiting = node.metric("edgenode_outbox_messages")
    eventually(lambda: node.metric("edgenode_mqtt_connected") == 1, "the connection")
    before = read(node)
    begun_s = time.monotonic()
    assert listening.stdout is not None
    while not (line := listening.stdout.readline()).startswith("all"):
        pass
    took_s = time.monotonic() - begun_s
    told("meanwhile", before, read(node))
    print(
        f"{waiting:.0f} events in {took_s:.1f} s: {waiting / took_s:.0f} a second; out of order: {line.split()[1]}"
    )


if __name__ == "__main__":
    main()
