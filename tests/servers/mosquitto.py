"""A real Mosquitto for tests: free loopback port, own folder, start, stop, kill, freeze, restart."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

PATIENCE_S = 60.0
MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


_PORTS = itertools.count(random.SystemRandom().randrange(10_000, 32_000))
"""Below what the system gives to clients: a port that is free now must not have gone to some connection when a server
listens on it a moment later. Never the same one twice in a process, and another part of the range in each."""


def free_port() -> int:
    for number in _PORTS:
        port = 10_000 + (number - 10_000) % 22_000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("a count without end")


class MosquittoBroker:
    """One broker whose port and folder outlive its processes."""

    def __init__(self, folder: Path, lines: Sequence[str] = (), port: int | None = None) -> None:
        """`lines` follow the listener's; pass a `listener` line among them for a second one."""
        self.folder = folder
        self.port = port if port is not None else free_port()
        self.lines = list(lines)
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def configuration(self) -> str:
        anonymous = [] if any("allow_anonymous" in line for line in self.lines) else ["allow_anonymous true"]
        # started as root Mosquitto would become another user, who may not enter the test's folder
        return "\n".join(
            [
                f"listener {self.port} 127.0.0.1",
                *anonymous,
                "user root" if os.getuid() == 0 else "",
                "set_tcp_nodelay true",
                "persistence true",
                f"persistence_location {self.folder}/",
                "log_dest stderr",
                *self.lines,
                "",
            ]
        )

    @property
    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, configuration: Path | None = None) -> None:
        """Returns when it accepts connections. `configuration` replaces the generated one."""
        assert not self.running
        path = configuration
        if path is None:
            path = self.folder / "mosquitto.conf"
            path.write_text(self.configuration)
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-c", str(path)], stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
            except OSError:
                assert self.running, f"mosquitto ended:\n{self.log}"
                assert time.monotonic() < deadline, f"mosquitto does not listen:\n{self.log}"
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        """A clean end: what it keeps is written."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As if the power went."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def lose_store(self) -> None:
        """While stopped: forget every retained message and session."""
        assert not self.running
        for path in self.folder.glob("mosquitto.db*"):
            path.unlink()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGCONT)
                self._process.send_signal(how)
            self._process.wait(PATIENCE_S)
            self._process = None


@pytest.fixture
def mosquitto_factory(tmp_path: Path) -> Iterator[Callable[..., MosquittoBroker]]:
    """Makes brokers, not started, that are killed afterwards: `mosquitto_factory("line", ..., port=None)`."""
    if not Path(MOSQUITTO).exists():
        if os.environ.get("CI"):
            pytest.fail("mosquitto is not installed: apt install mosquitto")
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    made: list[MosquittoBroker] = []

    def make(*lines: str, port: int | None = None) -> MosquittoBroker:
        broker = MosquittoBroker(tmp_path / f"mosquitto{len(made)}", lines, port)
        made.append(broker)
        return broker

    yield make
    for broker in made:
        broker.kill()


@pytest.fixture
def mosquitto_broker(mosquitto_factory: Callable[..., MosquittoBroker]) -> MosquittoBroker:
    """A running broker without access control."""
    broker = mosquitto_factory()
    broker.start()
    return broker
