"""A whole run under strace: no socket but to cameras, broker and for its own listener; no file but in its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.system.daemon import REPOSITORY
from tests.system.isolation.trace import Deeds, alone, deeds, strace, traced

LOOK_UPS = ("/etc/resolv.conf", "/etc/hosts", "/run/systemd/resolve", "nscd/socket")
LOCAL_FAMILIES = {"AF_INET", "AF_UNIX", "AF_NETLINK"}


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        [*alone(), *command], cwd=REPOSITORY, capture_output=True, text=True, timeout=280,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    logs = "".join(
        path.read_text(errors="replace")[-4000:] for path in folder.glob("*.log") if path.name != "strace.log"
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{logs}"


def looked_up(found: Deeds) -> list[str]:
    touched = [*found.read, *found.unix]
    return [path for path in touched if any(name in path for name in LOOK_UPS)]


def test_a_node_speaks_to_cameras_and_broker_alone_and_writes_to_its_folder_alone(tmp_path: Path) -> None:
    strace()
    run([sys.executable, "-m", "tests.system.isolation.run_node", str(tmp_path)], tmp_path)
    found = deeds(tmp_path / "strace.log", tmp_path)
    ports = json.loads((tmp_path / "ports.json").read_text())
    wanted = {("127.0.0.1", ports["broker"]), ("127.0.0.1", ports["camera"])}
    assert wanted <= found.spoken_to, "the trace sees what there is to see"
    assert ("127.0.0.1", ports["http"]) in found.listening
    assert {host for host, _ in found.listening} == {"127.0.0.1"}
    # paho wakes itself through a pair of sockets, for which it listens and speaks to itself
    assert found.spoken_to - wanted - found.listening == set()
    assert found.families <= LOCAL_FAMILIES
    assert found.unix == set()
    assert looked_up(found) == []
    assert tmp_path / "state" in {parent for path in found.written for parent in path.parents}
    assert found.written_outside(tmp_path / "state", Path("/dev/null")) == set()
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.slow
def test_a_trainer_speaks_to_nobody_and_writes_where_it_is_told(tmp_path: Path) -> None:
    strace()
    rng = np.random.default_rng(1)
    for label, value in (("dark", 40), ("bright", 200)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(40):
            picture = np.clip(rng.normal(value, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "data" / label / f"{number}.png"), picture)
    for name in ("home", "tmp", "out"):
        (tmp_path / name).mkdir()
    environment = [f"HOME={tmp_path}/home", f"TMPDIR={tmp_path}/tmp", "PYTHONDONTWRITEBYTECODE=1"]
    program = "from trainer.cli import main; main()"
    fit = [sys.executable, "-c", program, "fit", f"{tmp_path}/data", "--out", f"{tmp_path}/out/m.onnx",
           "--arch", "edge-s", "--epochs", "2", "--batch", "8"]  # fmt: skip
    run(["env", *environment, *traced(fit, tmp_path / "strace.log")], tmp_path)
    assert (tmp_path / "out/m.onnx").exists()
    found = deeds(tmp_path / "strace.log", REPOSITORY)
    assert found.spoken_to == set()
    assert found.listening == set()
    # torch asks for the name of the user, and somebody for a unique id: both of this machine, no network
    assert found.unix <= {"/var/run/nscd/socket", "/run/uuidd/request"}
    assert [path for path in looked_up(found) if "nscd" not in path] == []
    assert (
        found.written_outside(tmp_path / "out", tmp_path / "tmp", Path("/dev/null"), Path("/dev/shm"))
        == set()
    )
    assert list((tmp_path / "home").iterdir()) == []
    left = [path for path in (tmp_path / "tmp").iterdir() if not path.name.startswith("torchinductor_")]
    assert left == [], "what it put aside is gone again, but for a folder of torch's own"


def test_the_trace_tells_of_those_who_do(tmp_path: Path) -> None:
    """So that a clean trace means something."""
    strace()
    program = (
        "import socket\n"
        f"open({str(tmp_path / 'home-cache')!r}, 'w').close()\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.9', 53))\n"
        "try: socket.create_connection(('127.0.0.8', 443), timeout=0.1)\n"
        "except OSError: pass\n"
        "try: socket.getaddrinfo('telemetry.invalid', 443)\n"
        "except OSError: pass\n"
    )
    run(traced([sys.executable, "-c", program], tmp_path / "strace.log"), tmp_path)
    found = deeds(tmp_path / "strace.log", tmp_path)
    assert {("127.0.0.9", 53), ("127.0.0.8", 443)} <= found.spoken_to
    assert looked_up(found)
    assert found.written_outside(tmp_path / "state") == {tmp_path / "home-cache"}
