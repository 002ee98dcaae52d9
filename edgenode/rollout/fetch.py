"""Fetches a model file from where the configuration permits: streamed to disk, under limits of size and time.

Called on the thread of slow commands. What comes is data from outside: only its SHA-256 makes it wanted.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from edgenode.errors import ModelError
from edgenode.settings import RolloutSettings

REDIRECTS = 3
"""To the same host and scheme only."""
_PIECE_BYTES = 64 * 1024
_QUIET_S = 10.0
"""Longest silence of a server."""
_PREFIX = ".incoming-"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which file, and where it may be put meanwhile."""

    url: str
    sha256: str
    folder: Path


@contextmanager
def fetched(
    wanted: Wanted, limits: RolloutSettings, base_dir: Path, cancelled: threading.Event
) -> Iterator[Path]:
    """The file at `wanted.url`, within the `with` block, then deleted. Its hash is the wanted one.

    Raises ModelError. `cancelled` ends a transfer at its next piece.
    """
    parts = _split(wanted.url)
    path = wanted.folder / f"{_PREFIX}{secrets.token_hex(8)}"
    sink = _Sink(wanted, limits, cancelled)
    try:
        wanted.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        _sweep(wanted.folder)
        with path.open("xb") as stream:
            sink.stream = stream
            if parts.scheme == "file":
                _copy(parts, limits, base_dir, sink)
            else:
                _download(parts, limits, base_dir, sink)
        sink.check()
        yield path
    except OSError as error:
        raise ModelError(f"{wanted.url}: cannot be fetched: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            path.unlink()


class _Sink:
    """Takes the pieces, counts and hashes them, and says when enough is enough."""

    stream: IO[bytes]

    def __init__(self, wanted: Wanted, limits: RolloutSettings, cancelled: threading.Event) -> None:
        self._wanted = wanted
        self._limits = limits
        self._cancelled = cancelled
        self._give_up_s = time.monotonic() + limits.timeout
        self._hash = hashlib.sha256()
        self._bytes = 0

    def announced(self, size: int) -> None:
        if size > self._limits.max_size:
            raise ModelError(
                f"{self._wanted.url}: has {size} bytes, over rollout.max_size ({self._limits.max_size})"
            )

    def take_all(self, read: Callable[[int], bytes]) -> None:
        while piece := read(_PIECE_BYTES):
            self._bytes += len(piece)
            self.announced(self._bytes)
            if self._cancelled.is_set():
                raise ModelError(f"{self._wanted.url}: given up, the node is stopping")
            if time.monotonic() > self._give_up_s:
                raise ModelError(f"{self._wanted.url}: not here within {self._limits.timeout:g} s")
            self._hash.update(piece)
            self.stream.write(piece)

    def check(self) -> None:
        found = self._hash.hexdigest()
        if found != self._wanted.sha256:
            raise ModelError(
                f"{self._wanted.url}: sha256 is {found}, expected {self._wanted.sha256}: not the file you meant"
            )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ModelError(f"{url[:200]!r} is no address") from error
    if parts.scheme not in ("https", "file"):
        raise ModelError("a model is fetched from https:// or file:// alone")
    if parts.username is not None or parts.password is not None:
        raise ModelError(
            "an address with a password in it would stand in logs; let the network guard it instead"
        )
    if any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise ModelError("the address holds blanks or control characters")
    return parts


def _copy(parts: SplitResult, limits: RolloutSettings, base_dir: Path, sink: _Sink) -> None:
    if limits.incoming is None:
        raise ModelError("rollout.incoming is not set: models come from no folder")
    folder = (base_dir / limits.incoming.expanduser()).resolve()
    if parts.netloc not in ("", "localhost"):
        raise ModelError(f"file://{parts.netloc}: files of another machine; write file:///…")
    path = Path(unquote(parts.path))
    if "\0" in str(path) or not path.resolve().is_relative_to(folder):
        raise ModelError(f"{path}: is not below rollout.incoming ({folder})")
    descriptor = os.open(path.resolve(), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path}: is no regular file")
        sink.announced(status.st_size)
        sink.take_all(stream.read)


def _download(parts: SplitResult, limits: RolloutSettings, base_dir: Path, sink: _Sink) -> None:
    host = parts.netloc.lower()
    allowed = {name.lower() for name in limits.download_from}
    if host not in allowed:
        known = ", ".join(sorted(allowed)) or "nowhere"
        raise ModelError(f"{host}: models may come from {known} (rollout.download_from)")
    ca_file = base_dir / limits.ca_file if limits.ca_file is not None else None
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ModelError(f"{ca_file}: certificates cannot be read") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    url = parts.geturl()
    try:
        for _ in range(REDIRECTS + 1):
            following = _get(url, context, sink)
            if following is None:
                return
            target = _split(urljoin(url, following))
            if target.scheme != "https" or target.netloc.lower() != host:
                raise ModelError(f"{url}: leads to another place, which is not followed")
            url = target.geturl()
    except (http.client.HTTPException, TimeoutError) as error:
        raise ModelError(f"{url}: cannot be fetched: {error or type(error).__name__}") from error
    raise ModelError(f"{url}: leads on and on")


def _get(url: str, context: ssl.SSLContext, sink: _Sink) -> str | None:
    """One request; None when the file is here, otherwise where the server says it is."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port or 443, timeout=_QUIET_S, context=context
    )
    try:
        target = parts.path or "/"
        connection.request(
            "GET",
            f"{target}?{parts.query}" if parts.query else target,
            headers={"Accept-Encoding": "identity", "User-Agent": "edgenode", "Connection": "close"},
        )
        with connection.getresponse() as response:
            if response.status in (301, 302, 303, 307, 308):
                return response.getheader("Location") or ""
            if response.status != 200:
                raise ModelError(f"{url}: the server answers {response.status} {response.reason[:80]}")
            if response.length is not None:
                sink.announced(response.length)
            sink.take_all(response.read1)
            if response.length:
                raise ModelError(f"{url}: cut short, {response.length} bytes are missing")
            return None
    finally:
        connection.close()


def _sweep(folder: Path) -> None:
    """Remove what a node that was killed left behind. One fetch at a time works here."""
    for path in folder.glob(f"{_PREFIX}*"):
        path.unlink(missing_ok=True)
