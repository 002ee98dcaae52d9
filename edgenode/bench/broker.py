"""The broker that all rivals of a benchmark publish to: a process of its own, not counted for any of them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgenode.errors import EdgeNodeError

_START_S = 10.0
_PATHS = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


@contextmanager
def bench_broker(folder: Path, named: str | None) -> Iterator[tuple[str, int] | None]:
    """Host and port of the broker `named` (host:port), else of a Mosquitto started in `folder` for the time.

    None where none is named and Mosquitto is not installed: then nobody publishes. Raises EdgeNodeError.
    """
    if named is not None:
        host, _, port = named.rpartition(":")
        if not host or not port.isdecimal():
            raise EdgeNodeError(f"--broker: {named!r} is not host:port")
        yield host, int(port)
        return
    program = shutil.which("mosquitto", path=_PATHS)
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port_taken = int(probe.getsockname()[1])
    file = folder / "mosquitto.conf"
    user = "user root\n" if os.getuid() == 0 else ""
    file.write_text(f"listener {port_taken} 127.0.0.1\nallow_anonymous true\n{user}persistence false\n")
    process = subprocess.Popen(
        [program, "-c", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(port_taken, process)
        yield "127.0.0.1", port_taken
    finally:
        process.terminate()
        process.wait(_START_S)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + _START_S
    pause = threading.Event()
    while time.monotonic() < deadline_s and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        pause.wait(0.05)
    raise EdgeNodeError("the benchmark's Mosquitto did not start")
