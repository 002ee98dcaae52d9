"""A real Prometheus for tests: its own folder, a free loopback port, ended with the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import yaml

from tests.servers.mosquitto import free_port

PATIENCE_S = 60.0


def tool(name: str) -> str:
    """The path of `prometheus` or `promtool`; a test is skipped without, and fails in CI."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed: apt install prometheus")
        pytest.skip(f"{name} is not installed: apt install prometheus")
    return path


class Prometheus:
    """Scrapes `target` twice a second and works out `rules` as often."""

    def __init__(self, folder: Path, target: str, rules: Path) -> None:
        self._binary = tool("prometheus")
        self._folder = folder / "prometheus"
        self._folder.mkdir()
        self.port = free_port()
        configuration = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "edgenode", "static_configs": [{"targets": [target]}]}],
        }
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._binary,
                    f"--config.file={self._folder}/prometheus.yml",
                    f"--storage.tsdb.path={self._folder}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=log,
            )
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5.0):
                    return self
            except (urllib.error.URLError, ConnectionError):
                alive = self._process.poll() is None and time.monotonic() < deadline_s
                assert alive, (self._folder / "log").read_text()
                time.sleep(0.05)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)

    def get(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of /api/v1. An answer that is no success fails the test with its text."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode(errors='replace')}") from error

    def series(self, expression: str) -> list[Any]:
        """The result of `expression` now."""
        return list(self.get("query", query=expression)["result"])
