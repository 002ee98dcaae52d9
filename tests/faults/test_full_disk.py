"""A full disk: classification goes on, events wait in memory up to a bound, and all is well once there is space."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from edgenode.delivery.mailbox import MAX_EVENTS
from tests.servers.mosquitto import MosquittoBroker
from tests.system.daemon import REPOSITORY, Daemon, eventually
from tests.system.listener import Listener
from tests.system.plant import Plant, StartNode

pytestmark = pytest.mark.faults
DISK_BYTES = 3 * 2**20
OFFERED = MAX_EVENTS + 500


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "edgenode-test", str(disk)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """No byte is left on `disk`."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    assert shutil.disk_usage(disk).free == 0
    yield
    ballast.unlink()


@contextmanager
def unwritable(node: Daemon) -> Iterator[None]:
    """Every write to a file fails for `node`, its log too: a limit of the process stands in for the disk's end."""
    pid = node.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def belts(plant: Plant) -> None:
    plant.camera(
        "line_1", plant.clip(("dark", 0.4), ("bright", 0.4)), loop=True, fps=10, smoothing={"method": "none"}
    )
    plant.rule("lit", 'line_1.frame == "bright"')


def suffers_and_recovers(node: Daemon, listener: Listener, full: AbstractContextManager[None]) -> None:
    """The whole story, told by the node's own metrics and messages."""
    listener.wait_events("lit", 2)
    with full:
        listener.wait_last(
            "state", lambda state: state["state"] == "degraded" and "outbox" in state["reason"]
        )
        # what had been stored before is on its way yet; the marker comes after all of it
        eventually(lambda: node.metric("edgenode_outbox_messages") == 0, "what was stored is delivered")
        listener.publish("marker", b'{"marker": true}')
        listener.wait("marker")
        seen = len(listener.events("lit"))
        classified = node.metric("edgenode_inferences_total")
        eventually(
            lambda: node.metric("edgenode_inferences_total") > classified + 30, "classification goes on"
        )
        eventually(lambda: node.status()["delivery"]["in_memory"] >= 4, "events wait in memory")
        assert len(listener.events("lit")) == seen, "nothing is sent that was not stored"
        assert node.get("/healthz")[0] == 200
    eventually(lambda: node.status()["delivery"]["in_memory"] == 0, "they were stored")
    listener.wait_last("state", lambda state: state["state"] == "online")
    listener.wait_events("lit", seen + 4)
    assert node.metric("edgenode_outbox_evicted_total") == 0
    assert node.stop() == 0
    numbers = [each["seq"] for each in listener.events("lit")]
    assert sorted(set(numbers)) == list(range(1, max(numbers) + 1))
    assert [each["event_type"] for each in listener.events("lit")[:2]] == ["start", "end"]


@pytest.mark.slow
def test_a_node_on_a_full_disk_goes_on(
    small_disk: Path, plant: Plant, listener: Listener, start: StartNode
) -> None:
    plant.sections["node"]["state_dir"] = str(small_disk / "state")
    belts(plant)
    suffers_and_recovers(start(plant), listener, filled(small_disk))


def test_a_node_that_can_write_no_file_goes_on(plant: Plant, listener: Listener, start: StartNode) -> None:
    belts(plant)
    node = start(plant)
    suffers_and_recovers(node, listener, unwritable(node))


@pytest.mark.slow
def test_a_node_that_starts_on_a_full_disk_works_once_there_is_space(
    small_disk: Path, plant: Plant, listener: Listener, start: StartNode
) -> None:
    plant.sections["node"]["state_dir"] = str(small_disk / "state")
    belts(plant)
    with filled(small_disk):
        node = start(plant)
        listener.wait_last(
            "state", lambda state: state["state"] == "degraded" and "outbox" in state["reason"]
        )
        eventually(lambda: node.status()["delivery"]["in_memory"] >= 2, "events wait in memory")
    listener.wait_events("lit", 2)
    listener.wait_last("state", lambda state: state["state"] == "online")
    assert node.stop() == 0


FLOOD = """
import resource, sys, threading
from pathlib import Path
from edgenode.delivery.mailbox import MAX_EVENTS
from tests.system.delivery.stage import Tally, end, event, publisher, wait_for
from edgenode.records import Severity

tally = Tally()
node = publisher(int(sys.argv[1]), Path(sys.argv[2]), tally)
node.start()
node.publish_event(event(0), None)
wait_for(lambda: node.status().delivered == 1, "the first")
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
node.publish_event(event(1, severity=Severity.CRITICAL), None)
wait_for(lambda: node.status().degraded, "the trouble shows")
for number in range(2, int(sys.argv[3])):
    node.publish_event(event(number), None)
assert node.status().pending <= MAX_EVENTS
resource.setrlimit(resource.RLIMIT_FSIZE, before)
wait_for(lambda: not node.status().degraded and node.status().pending == 0, "all is stored")
wait_for(lambda: tally.evictions["inbox_full"], "the losses are counted")
wait_for(lambda: node.status().outbox_messages == 0 and node.status().on_the_way == 0, "all is delivered")
status = node.status()
end(node)
print(status.appended, tally.evictions["inbox_full"])
"""


def test_events_in_memory_are_bounded_and_what_does_not_fit_is_counted(
    mosquitto_factory: Callable[..., MosquittoBroker], tmp_path: Path
) -> None:
    broker = mosquitto_factory("max_queued_messages 0")
    broker.start()
    with Listener(broker.port, "edgenode/v1/gateway-7") as listener:
        done = subprocess.run(
            [sys.executable, "-c", FLOOD, str(broker.port), str(tmp_path / "flood"), str(OFFERED)],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        appended, counted = map(int, done.stdout.split())
        events = listener.wait_events("defective_part", OFFERED - counted)
        notices = eventually(lambda: listener.of("events/_outbox"), "the losses are told")
    lost = [each for notice in notices for each in notice.json["lost"]]
    assert counted == sum(each["count"] for each in lost if each["reason"] == "inbox_full")
    assert counted >= OFFERED - MAX_EVENTS - 1
    assert appended == OFFERED - counted + len(notices)
    assert len({each["seq"] for each in events}) == OFFERED - counted
    assert any(each["severity"] == "critical" for each in events), "the critical one was kept"
