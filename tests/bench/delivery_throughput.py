"""Messages a second from hand-over through outbox, QoS 1 and PUBACK, and how long a command takes.

    python -m tests.bench.delivery_throughput [messages]

Prints wall time and CPU time: on a busy machine only the second one tells something.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.servers.mosquitto import MosquittoBroker
from tests.system.delivery.stage import Listener, Tally, end, event, publisher, wait_for


def main() -> None:
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as folder:
        broker = MosquittoBroker(Path(folder) / "broker")
        broker.start()
        try:
            _throughput(broker, Path(folder) / "state", total)
            _round_trips(broker, Path(folder) / "state2")
        finally:
            broker.kill()


def _throughput(broker: MosquittoBroker, state: Path, total: int) -> None:
    tally = Tally()
    node = publisher(broker.port, state, tally)
    node.start()
    wait_for(lambda: node.status().connected, "the connection")
    begun_s, begun_cpu_s = time.monotonic(), time.process_time()
    written_before = _written()
    for number in range(total):
        node.publish_event(event(number), None)
        while node._mailbox.events_waiting > 1500:
            threading.Event().wait(0.001)
    while tally.counts["delivered"] < total:
        threading.Event().wait(0.005)
    wall_s, cpu_s = time.monotonic() - begun_s, time.process_time() - begun_cpu_s
    size = node.status().outbox_bytes / max(1, node.status().appended)
    written = (_written() - written_before) / total
    print(f"{total / wall_s:.0f} messages/s, {cpu_s / total * 1e6:.0f} µs of CPU each, events made included")
    print(f"{size:.0f} bytes a row, {written:.0f} bytes written to the disk for each")
    end(node)


def _round_trips(broker: MosquittoBroker, state: Path) -> None:
    node = publisher(broker.port, state, Tally(), {"explain": lambda args: {}})
    listener = Listener(broker.port, "edgenode/v1/gateway-7/replies/#")
    listener.client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    node.start()
    wait_for(lambda: node.status().connected, "the connection")
    taken: list[float] = []
    answered = threading.Event()
    listener.client.on_message = lambda *_: answered.set()
    for number in range(100):
        # below the rate limit
        threading.Event().wait(0.11)
        answered.clear()
        begun_s = time.perf_counter()
        listener.client.publish(
            "edgenode/v1/gateway-7/commands/explain", b'{"transaction": "%d"}' % number, qos=1
        )
        assert answered.wait(10.0)
        taken.append(time.perf_counter() - begun_s)
    taken.sort()
    print(f"command to reply: p50 {taken[50] * 1e3:.2f} ms, p99 {taken[98] * 1e3:.2f} ms")
    end(node)
    listener.close()


def _written() -> int:
    """Bytes this process has caused to be written."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


if __name__ == "__main__":
    main()
