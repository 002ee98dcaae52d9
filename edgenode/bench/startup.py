"""How long a fresh process takes: to import the command line, and to publish its first classification."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from edgenode.delivery.subscriber import Subscriber
from edgenode.errors import EdgeNodeError

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Startup:
    """Seconds of wall time, one for each run."""

    import_s: tuple[float, ...]
    """`python -c "import edgenode.cli"` less an empty `python -c ""`."""
    first_classification_s: tuple[float, ...]
    """From starting the process to the first classification a subscriber gets."""


def measure_import(runs: int) -> tuple[float, ...]:
    """Wall seconds the command line's import adds to an empty interpreter, run by run."""
    return tuple(max(0.0, _timed("import edgenode.cli") - _timed("")) for _ in range(runs))


def _timed(program: str) -> float:
    begun_s = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.monotonic() - begun_s


def measure_first_classification(
    clip: Path, model: Path, host: str, port: int, runs: int
) -> tuple[float, ...]:
    """Start `edgenode run` with one file camera against the broker at `host`:`port`, until it classifies.

    Raises EdgeNodeError when nothing arrives; the node's own words go to standard error.
    """
    return tuple(_first(clip, model, host, port) for _ in range(runs))


def _first(clip: Path, model: Path, host: str, port: int) -> float:
    with tempfile.TemporaryDirectory(prefix="edgenode-bench-") as folder:
        config = Path(folder) / "edgenode.toml"
        name = f"bench{os.getpid()}"
        config.write_text(
            f"""
[node]
name = "{name}"
state_dir = "{folder}/state"
log_level = "warning"
[mqtt]
host = "{host}"
port = {port}
[http]
listen = "127.0.0.1:0"
[models.model]
file = "{model}"
[[cameras]]
name = "clip"
source = "{clip}"
loop = true
"""
        )
        subscriber = Subscriber(host, port, f"edgenode/v1/{name}/cameras/+/regions/+/classification")
        subscriber.start()
        begun_s = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "edgenode", "run", "--config", str(config)])
        try:
            arrived = _wait(subscriber)
            elapsed_s = time.monotonic() - begun_s
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
            subscriber.stop()
        if not arrived:
            raise EdgeNodeError(f"no classification arrived within {PATIENCE_S:g} s")
        return elapsed_s


def _wait(subscriber: Subscriber) -> bool:
    pause = threading.Event()
    deadline_s = time.monotonic() + PATIENCE_S
    while subscriber.received == 0 and time.monotonic() < deadline_s:
        pause.wait(0.005)
    return subscriber.received > 0
