"""An `edgenode` command that serves a page, as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from tests.system.daemon import PATIENCE_S, REPOSITORY


class PageCommand:
    """`edgenode ARGUMENTS` in `folder`, ready when it has printed its link; ended with `stack`."""

    def __init__(self, stack: ExitStack, folder: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "edgenode", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        self.said: list[str] = []
        self._linked = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        stack.callback(self._end)
        assert self._linked.wait(PATIENCE_S)
        assert "?token=" in "".join(self.said), self.said

    @property
    def link(self) -> str:
        return next(line.strip() for line in reversed(self.said) if "?token=" in line)

    def end(self, number: signal.Signals = signal.SIGINT) -> str:
        """What it printed in all."""
        self.process.send_signal(number)
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return "".join(self.said)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.said.append(line)
                if "?token=" in line:
                    self._linked.set()
        self._linked.set()

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
