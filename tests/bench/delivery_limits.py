"""How long delivery takes to notice, to say and to come back, against the limits it was given.

    python -m tests.bench.delivery_limits

Real brokers and nodes with the settings they ship with (keepalive 10 s). Takes about four minutes, mostly of waiting.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgenode.clock import SystemClock
from edgenode.delivery.link_options import LinkOptions
from edgenode.records import CameraReport, CameraStatus
from tests.bench.delivery_throughput import _throughput
from tests.servers.mosquitto import MosquittoBroker
from tests.system.daemon import REPOSITORY
from tests.system.delivery.stage import Listener, Tally, end, event, publisher, wait_for

KEEPALIVE_S = 10.0
ROOT = "edgenode/v1/gateway-7"

NODE = """
import signal, sys, threading
from pathlib import Path
from tests.system.delivery.stage import Tally, end, publisher
node = publisher(int(sys.argv[1]), Path(sys.argv[2]), Tally(), keepalive=10.0)
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
node.start()
stop.wait()
end(node)
"""

SLOW_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
static int slow(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    usleep(20000);
    return real(fd);
}
int fsync(int fd) { return slow("fsync", fd); }
int fdatasync(int fd) { return slow("fdatasync", fd); }
"""


def shipped(options: LinkOptions) -> LinkOptions:
    return options


def told(row: int, what: str, value: str, limit: str) -> None:
    print(f"row {row:2}: {what}: {value} (limit {limit})", flush=True)


def took(condition: Callable[[], object], what: str) -> float:
    begun_s = time.monotonic()
    wait_for(condition, what, 90.0)
    return time.monotonic() - begun_s


def frozen(broker: MosquittoBroker, folder: Path) -> None:
    node = publisher(broker.port, folder, Tally(), link=shipped, keepalive=KEEPALIVE_S)
    node.start()
    wait_for(lambda: node.status().connected, "the connection")
    broker.freeze()
    node.publish_event(event(1), None)
    noticed_s = took(lambda: not node.status().connected, "the silence is noticed")
    threading.Event().wait(5.0)
    broker.thaw()
    back_s = took(lambda: node.status().connected, "it is back")
    wait_for(lambda: node.status().outbox_messages == 0, "the event is delivered")
    end(node)
    told(6, "frozen broker noticed", f"{noticed_s:.1f} s", f"{2 * KEEPALIVE_S:.0f} s")
    told(6, "connected again after the thaw", f"{back_s:.1f} s", "5 s")


def twins(broker: MosquittoBroker, folder: Path) -> None:
    tallies = [Tally(), Tally()]
    nodes = [
        publisher(broker.port, folder / str(n), tallies[n], link=shipped, keepalive=KEEPALIVE_S)
        for n in range(2)
    ]
    for node, tally in zip(nodes, tallies, strict=True):
        node.start()
        wait_for(lambda tally=tally: tally.connections, "the connection")
    threading.Event().wait(60.0)
    first = [tally.connections - 1 for tally in tallies]
    threading.Event().wait(60.0)
    second = [tally.connections - 1 - before for tally, before in zip(tallies, first, strict=True)]
    for node in nodes:
        node.stop(0.1)
    for node in nodes:
        node.join(30.0)
    told(
        13,
        "two nodes of one name: reconnects of each in the first minute, the second",
        f"{first}, {second}",
        "3 a minute",
    )


def said(broker: MosquittoBroker, folder: Path) -> None:
    for how, limit in (
        (signal.SIGKILL, "1 s"),
        (signal.SIGSTOP, f"{2 * KEEPALIVE_S:.0f} s"),
        (signal.SIGTERM, "stopped"),
    ):
        listener = Listener(broker.port, f"{ROOT}/state", client_id=how.name)
        process = subprocess.Popen(
            [sys.executable, "-c", NODE, str(broker.port), str(folder / how.name)], cwd=REPOSITORY
        )
        wait_for(
            lambda listener=listener: (
                listener.on("/state")[-1:] and listener.on("/state")[-1].json["state"] == "online"
            ),
            "online",
        )
        process.send_signal(how)
        seconds = took(
            lambda listener=listener: listener.on("/state")[-1].json["state"] != "online", "another state"
        )
        told(18, f"after {how.name}", f"{listener.on('/state')[-1].json['state']} in {seconds:.2f} s", limit)
        process.kill()
        process.wait()
        listener.close()


def forgotten(broker: MosquittoBroker, folder: Path) -> None:
    node = publisher(broker.port, folder, Tally(), link=shipped, keepalive=KEEPALIVE_S)
    node.start()
    now = SystemClock().now()
    for number in range(8):
        node.publish_camera(CameraReport(f"line_{number}", CameraStatus.ONLINE, "", now, 5.0, 0))
    wait_for(lambda: node.status().connected and node.status().on_the_way == 0, "all is said")
    broker.stop()
    broker.lose_store()
    broker.start()
    listener = Listener(broker.port, f"{ROOT}/#", client_id="forgotten")
    seconds = took(lambda: len({each.topic for each in listener.heard}) >= 10, "everything retained")
    end(node)
    listener.close()
    told(19, "everything retained again after a restart with an empty store", f"{seconds:.1f} s", "5 s")


def slow_disk(folder: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        print("row 16: no C compiler: the slow disk is left out")
        return
    source, library = folder / "slow.c", folder / "slow.so"
    source.write_text(SLOW_SYNC)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    print("row 16: with 20 ms more for each sync (limit 1,000 a second):", flush=True)
    subprocess.run(
        [sys.executable, "-m", "tests.bench.delivery_limits", "--slow"],
        cwd=REPOSITORY,
        env={**os.environ, "LD_PRELOAD": str(library)},
        check=True,
    )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="limits-") as name:
        folder = Path(name)
        broker = MosquittoBroker(folder / "broker")
        if "--slow" in sys.argv:
            # only this process has the slow disk
            del os.environ["LD_PRELOAD"]
            broker.start()
            _throughput(broker, folder / "slow", 10_000)
            broker.kill()
            return
        broker.start()
        try:
            said(broker, folder)
            frozen(broker, folder / "frozen")
            forgotten(broker, folder / "forgotten")
            twins(broker, folder / "twins")
        finally:
            broker.kill()
        slow_disk(folder)


if __name__ == "__main__":
    main()
