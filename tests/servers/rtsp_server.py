"""Starts and ends the RTSP server of `rtsp.py` as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

_SCRIPT = Path(__file__).with_name("rtsp.py")
_PYTHON = os.environ.get("EDGENODE_GST_PYTHON", "/usr/bin/python3")
"""A Python with PyGObject and GStreamer's RTSP server."""
MISSING = 3
"""Exit status of the script where GStreamer is not installed."""


class RtspServer:
    """One clip as a camera. `kill` is `kill -9`; `start` after it brings the same port back."""

    def __init__(self, clip: Path, *options: str) -> None:
        self._clip = clip
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/cam"

    def start(self) -> RtspServer:
        """Returns when the server listens. Raises FileNotFoundError where it cannot run."""
        command = [_PYTHON, str(_SCRIPT), str(self._clip), "--port", str(self.port), *self._options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            process.stdout.close()
            status = process.wait()
            if status == MISSING:
                raise FileNotFoundError(f"{_PYTHON} has no GStreamer RTSP server")
            raise RuntimeError(f"the RTSP server ended with status {status}")
        self.port = int(line)
        self._process = process
        return self

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, without a word to its clients. Safe to call twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None
