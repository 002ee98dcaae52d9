"""The node under what its unit takes away, as far as that can be had without systemd; and the unit with its options."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest

from tests.pictures_made import encoded
from tests.servers.http_camera import Behaviour, HttpCamera
from tests.system.daemon import REPOSITORY, Daemon
from tests.system.isolation.sandbox import command, missing, permitted
from tests.system.listener import Listener
from tests.system.plant import Plant, moving

UNIT = REPOSITORY / "deploy/systemd/edgenode.service"


@pytest.fixture(autouse=True)
def _can_be_built() -> None:
    if needed := missing():
        pytest.skip(f"not here: {needed}")


class SandboxedDaemon(Daemon):
    def start(self) -> Self:
        run = command(UNIT, sys.executable, "-m", "edgenode", "run", "--config", str(self.config))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                run, stderr=log, stdout=log, env=self._environment, cwd=REPOSITORY
            )
        return self


def in_sandbox(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(UNIT, sys.executable, "-c", program),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )


TAKEN = """
import ctypes, errno, mmap, os, socket, time
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)
for name, attempt in {
    "new executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
    "a raw socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "a namespace": lambda: call("unshare", 0x20000),
    "the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "another root": lambda: os.chroot("/"),
    "another owner": lambda: os.chown("/tmp", 1, 1),
    "another process": lambda: call("ptrace", 16, 1, 0, 0),
}.items():
    try:
        attempt()
    except OSError as error:
        assert error.errno in (errno.EPERM, errno.EAFNOSUPPORT, errno.EACCES), (name, error)
    else:
        print("it has", name)
"""


def test_the_sandbox_takes_away_what_the_unit_does() -> None:
    done = in_sandbox(TAKEN)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_sandbox_leaves_what_a_node_needs() -> None:
    assert {"futex", "epoll_wait", "fdatasync", "adjtimex", "connect", "execve"} <= permitted(UNIT)
    assert not {"mount", "ptrace", "bpf", "kexec_load", "init_module", "chown"} & permitted(UNIT)
    assert in_sandbox("print('here')").stdout == "here\n"


def test_a_node_does_all_its_work_in_the_sandbox(plant: Plant, listener: Listener) -> None:
    pictures = [encoded(moving(20 + 200 * (number % 2), number), ".jpg") for number in range(10)]
    with HttpCamera(Behaviour(pictures, fps=10.0)) as camera:
        plant.camera("line_1", plant.clip(("dark", 0.4), ("bright", 0.4)), loop=True, fps=10)
        plant.camera("web", camera.url("stream"), fps=5)
        plant.rule("lit", 'line_1.frame == "bright"', snapshot=True)
        with SandboxedDaemon(plant.write()) as node:
            node.wait_until_ready()
            status = Path(f"/proc/{node.process.pid}/status").read_text()
            assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
            assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
            assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
            listener.wait_events("lit", 2)
            listener.wait_last("cameras/web/state", lambda state: state["state"] == "online")
            assert listener.ask("snapshot", camera="line_1", draw=True)["status"] == "ok"
            assert listener.ask("reload")["status"] == "ok"
            node.wait_for_text("configuration reloaded")
            assert node.metric("edgenode_inferences_total") > 0
            assert node.stop() == 0
        assert "not permitted" not in node.text()
        assert "Traceback" not in node.text()


def test_the_unit_with_its_options_is_understood_and_exposes_little(tmp_path: Path) -> None:
    """What the unit's comments offer, switched on: credentials from systemd, USB cameras aside."""
    text = UNIT.read_text(encoding="utf-8").replace("/usr/bin/edgenode", "/bin/true")
    offered = re.findall(r"^#(LoadCredential=.+)$", text, re.MULTILINE)
    assert len(offered) >= 3
    unit = tmp_path / "edgenode.service"
    unit.write_text(re.sub(r"^#(?=LoadCredential=)", "", text, flags=re.MULTILINE))
    assert shutil.which("systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", str(unit)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:]
