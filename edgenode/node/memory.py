"""What a node remembers across restarts, in small files: above all decided states and open events.

Each is written whole and swapped in atomically, so that a power cut leaves the old or the new, never half of one.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from edgenode.errors import ConfigurationError
from edgenode.records import JsonObject

log = logging.getLogger(__name__)

FORMAT = 1
STATES = "memory"
"""Decided states and open events."""


class StateDirectory:
    """The node's own folder, claimed for one process at a time. Used by the thread that starts the node."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_fd: int | None = None

    def claim(self) -> None:
        """Create the folder (mode 0700) and lock it. Raises ConfigurationError saying what to do."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(
                [
                    f"node.state_dir: {self.path} cannot be written ({error.strerror}); "
                    "create it for this user or set node.state_dir"
                ]
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "?"
            os.close(fd)
            raise ConfigurationError(
                [f"node.state_dir: {self.path} is in use by another node (process {holder})"]
            ) from error
        self._lock_fd = fd
        # on a full disk only the name of the holder is missing
        with suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def __enter__(self) -> Self:
        self.claim()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def recall(self, name: str = STATES) -> JsonObject:
        """What `remember` stored last under `name`; empty when there is nothing or it cannot be read (said once in
        the log)."""
        file = self.path / f"{name}.json"
        try:
            stored = json.loads(file.read_text("utf-8"))
            if not isinstance(stored, dict) or stored.get("format") != FORMAT:
                raise ValueError(f"format is not {FORMAT}")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            aside = file.with_suffix(".unreadable")
            log.warning("%s cannot be read (%s); set aside as %s", file.name, error, aside.name)
            try:
                file.replace(aside)
            except OSError:
                log.warning("%s cannot be set aside either", file)
            return {}
        content = stored.get("content")
        return content if isinstance(content, dict) else {}

    def remember(self, content: JsonObject, name: str = STATES) -> None:
        """Store `content` durably under `name`. Raises OSError; what was stored before is then still there."""
        file = self.path / f"{name}.json"
        temporary = file.with_suffix(".new")
        body = json.dumps({"format": FORMAT, "content": content}, separators=(",", ":"))
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, body.encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.replace(file)
        directory = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _write_all(fd: int, body: bytes) -> None:
    view = memoryview(body)
    while view:
        view = view[os.write(fd, view) :]
