"""The broker is away for long, or dies again and again: what the node loses (nothing), repeats and remembers."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.mosquitto import MosquittoBroker
from tests.system.daemon import REPOSITORY
from tests.system.delivery.stage import Listener, Tally, end, event, publisher, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.slow]
Factory = Callable[..., MosquittoBroker]
EVENTS_TOPIC = "edgenode/v1/gateway-7/events/#"
OUTAGE_EVENTS = 30_000
"""50 events a second for ten minutes."""
RSS_GROWTH_MB = 20.0
WINDOW = 100

NODE = """
import sys, threading, time
from pathlib import Path
from tests.system.delivery.stage import Tally, end, event, publisher, wait_for

def rss_mb():
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmRSS"))
    return int(line.split()[1]) / 1024

node = publisher(int(sys.argv[1]), Path(sys.argv[2]), Tally())
node.start()
for number in range(500):
    node.publish_event(event(number), None)
wait_for(lambda: node.status().appended == 500, "the first are stored", 120.0)
before = rss_mb()
for number in range(500, int(sys.argv[3])):
    node.publish_event(event(number), None)
    while node._mailbox.events_waiting > 1500:
        threading.Event().wait(0.002)
wait_for(lambda: node.status().appended == int(sys.argv[3]), "all are stored", 120.0)
print("stored", rss_mb() - before, flush=True)
sys.stdin.readline()
begun = time.monotonic()
wait_for(lambda: node.status().delivered == int(sys.argv[3]), "all are delivered", 240.0)
print("delivered", time.monotonic() - begun, rss_mb() - before, flush=True)
end(node)
"""


def test_ten_minutes_of_events_wait_for_the_broker(mosquitto_factory: Factory, tmp_path: Path) -> None:
    """Their number is what counts, not the time: they are made as fast as they can be stored."""
    broker = mosquitto_factory("max_queued_messages 0")
    broker.start()
    listener = Listener(broker.port, EVENTS_TOPIC)
    broker.stop()
    process = subprocess.Popen(
        [sys.executable, "-c", NODE, str(broker.port), str(tmp_path / "state"), str(OUTAGE_EVENTS)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        stored = process.stdout.readline().split()
        assert stored[0] == "stored"
        broker.start()
        process.stdin.write("\n")
        process.stdin.flush()
        delivered = process.stdout.readline().split()
        assert delivered[0] == "delivered"
        assert process.wait(60.0) == 0
        wait_for(
            # only the newest is looked at: reading all of them each time would hold up the listener's own thread
            lambda: listener.heard[-1:] and listener.heard[-1].json["seq"] == OUTAGE_EVENTS,
            "all are here",
            60.0,
        )
    finally:
        process.kill()
        process.communicate()
        listener.close()
    arrived = [each["seq"] for each in listener.events()]
    first = list(dict.fromkeys(arrived))
    print(
        f"{OUTAGE_EVENTS} events: drained in {float(delivered[1]):.1f} s, {len(arrived) - len(first)} repeated, "
        f"memory +{float(stored[1]):.1f} MB stored, +{float(delivered[2]):.1f} MB delivered"
    )
    assert first == list(range(1, OUTAGE_EVENTS + 1))
    assert len(arrived) - len(first) <= WINDOW
    assert float(stored[1]) <= RSS_GROWTH_MB
    assert float(delivered[2]) <= RSS_GROWTH_MB


def test_twenty_deaths_of_the_broker_cost_few_repetitions(mosquitto_factory: Factory, tmp_path: Path) -> None:
    """50 events a second, killed and there again two seconds later, with the shipped persistence lines."""
    shipped = (REPOSITORY / "mosquitto" / "gateway.conf").read_text()
    broker = mosquitto_factory(*re.findall(r"^autosave.*$", shipped, re.MULTILINE), "max_queued_messages 0")
    broker.start()
    listener = Listener(broker.port, EVENTS_TOPIC)
    node = publisher(broker.port, tmp_path / "state", Tally())
    node.start()
    kills, number, pause = 20, 0, threading.Event()

    def make(seconds: float) -> None:
        nonlocal number
        for _ in range(round(seconds * 50)):
            node.publish_event(event(number), None)
            number += 1
            pause.wait(0.02)

    try:
        for _ in range(kills):
            make(1.0)
            broker.kill()
            make(2.0)
            broker.start()
            wait_for(lambda: node.status().connected and node.status().outbox_messages < 50, "it is back")
        wait_for(lambda: node.status().delivered == number, "all was taken")
        wait_for(lambda: len({e["seq"] for e in listener.events()}) == number, "all arrived")
    finally:
        end(node)
        listener.close()
    times = Counter(each["seq"] for each in listener.events())
    repeated = sum(times.values()) - number
    print(f"{kills} deaths, {number} events: {repeated} repeated")
    first = list(dict.fromkeys(each["seq"] for each in listener.events()))
    assert first == list(range(1, number + 1))
    assert repeated <= 20 * kills
