"""The node as a real process, for system tests: started, asked over HTTP, signalled, ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

PATIENCE_S = 60.0
"""How long anything may take on a loaded machine; only a failing test ever waits that long."""
REPOSITORY = Path(__file__).resolve().parents[2]


def eventually(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """The first true value of `condition`, asked again and again. Fails the test naming `what`."""
    deadline_s = time.monotonic() + patience_s
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline_s, f"not within {patience_s:g} s: {what}"
        pause.wait(0.05)


class Daemon:
    """`edgenode run --config FILE`. Its standard error goes to `log`.

    `sabotage` is Python that runs in the process before the node does: for faults that nothing outside can cause.
    """

    def __init__(
        self, config: Path, environment: dict[str, str] | None = None, sabotage: str | None = None
    ) -> None:
        self.config = config
        self._program = ["-m", "edgenode"]
        if sabotage is not None:
            self._program = ["-c", f"{sabotage}\nfrom edgenode.cli import main\nmain()"]
        self.log = config.with_suffix(".log")
        self._environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self._program, "run", "--config", str(self.config)],
                stderr=log,
                stdout=log,
                env=self._environment,
                cwd=self.config.parent,
            )
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
        if error is not None:
            sys.stderr.write(f"--- {self.log}\n{self.text()[-8000:]}\n")

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for_text(self, pattern: str) -> str:
        return str(eventually(lambda: re.search(pattern, self.text()), f"{pattern!r} in the log").group(0))

    def url(self, path: str) -> str:
        port = re.search(r'listen = "127\.0\.0\.1:(\d+)"', self.config.read_text())
        assert port is not None
        return f"http://127.0.0.1:{port.group(1)}{path}"

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 where nobody listens (yet)."""
        try:
            with urllib.request.urlopen(self.url(path), timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_until_ready(self) -> Self:
        def ready() -> bool:
            assert self.process.poll() is None, f"the node ended with {self.process.poll()}"
            return self.get("/readyz")[0] == 200

        eventually(ready, "the node is ready")
        return self

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/status.json")[1]))

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """(sample name, sorted labels) to value, of one scrape."""
        status, text = self.get("/metrics")
        assert status == 200, status
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all series of `name` that carry `labels`, in one scrape."""
        return sum(
            value
            for (found, pairs), value in self.metrics().items()
            if found == name and set(labels.items()) <= set(pairs)
        )

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)
