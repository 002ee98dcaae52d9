"""What a power cut may take: nothing that was published. Seen in the system calls, in their order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.mosquitto import MosquittoBroker
from tests.system.daemon import REPOSITORY

pytestmark = pytest.mark.faults
EVENTS = 40

NODE = """
import sys
from pathlib import Path
from tests.system.delivery.stage import Tally, end, event, publisher, wait_for
node = publisher(int(sys.argv[1]), Path(sys.argv[2]), Tally())
node.start()
wait_for(lambda: node.status().connected, "the connection")
for number in range(int(sys.argv[3])):
    node.publish_event(event(number), None)
    if number % 3 == 0:
        wait_for(lambda: node.status().pending == 0, "a commit of its own")
wait_for(lambda: node.status().delivered == int(sys.argv[3]), "all is delivered")
end(node)
"""


@pytest.fixture
def strace(tmp_path: Path) -> str:
    program = shutil.which("strace")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("strace is not installed: apt install strace")
        pytest.skip("strace is not installed: apt install strace")
    tried = subprocess.run([program, "-o", "/dev/null", "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()}")
    return program


def test_an_event_is_on_the_disk_before_it_is_published(
    strace: str, mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    command = [strace, "-f", "-o", str(trace), "-s", "200000", "-y"]
    command += ["-e", "trace=pwrite64,write,fdatasync,fsync,sendto"]
    done = subprocess.run(
        [
            *command,
            sys.executable,
            "-c",
            NODE,
            str(mosquitto_broker.port),
            str(tmp_path / "state"),
            str(EVENTS),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    written: dict[str, int] = {}
    synced_at = -1
    sent: dict[str, int] = {}
    sync_began: dict[str, int] = {}
    for at, line in enumerate(trace.read_text(errors="replace").splitlines()):
        thread, _, call = line.partition(" ")
        call = call.strip()
        identifiers = re.findall(r'\\"id\\":\\"(\d{8})\\"', line)
        if call.startswith("pwrite64(") and "outbox.db-wal" in call:
            written.update((each, at) for each in identifiers if each not in written)
        elif call.startswith(("fdatasync(", "fsync(")) and "outbox.db-wal" in call:
            if "unfinished" in call:
                sync_began[thread] = at
            else:
                synced_at = at
        elif "fdatasync resumed" in call or "fsync resumed" in call:
            # only what was written before the call began is on the disk now
            synced_at = max(synced_at, sync_began.pop(thread, -1))
        elif call.startswith("sendto(") and identifiers:
            for each in identifiers:
                assert each in written, f"event {each} was sent and not written before"
                assert written[each] < synced_at, f"event {each} was sent before it was on the disk"
                sent[each] = at
    assert sorted(sent) == [f"{number:08d}" for number in range(EVENTS)]
