"""A folder of pictures: what is there in name order, then what appears."""

from __future__ import annotations

import os
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from edgenode.capture.address import Address
from edgenode.capture.picture_header import picture_size
from edgenode.capture.pictures import MAX_BYTES, PICTURE_SUFFIXES, decode_picture
from edgenode.capture.source import IDLE_S, Grab, SourceIdleError, SourceInfo, SourceOptions
from edgenode.clock import Clock
from edgenode.errors import PictureError, SourceEndedError, SourceError
from edgenode.records import U8

_LOOK_S = 0.25
_SETTLE_S = 2.0
"""A file that has not changed for this long and still cannot be decoded is damaged, not half-written."""


@dataclass(frozen=True, slots=True)
class _Version:
    """One content of one file; another version under the same name is a new picture."""

    inode: int
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    version: _Version
    since_s: float
    """Monotonic instant at which this version was first seen."""


class FolderSource:
    """Pictures of one folder (not of folders in it), each once. Hidden files and other suffixes are ignored.

    Following (`options.follow`), new and replaced files are taken once they have stood still between two
    looks and decode; a file that stands still and does not decode comes out once, as corrupt. Otherwise what
    is there is read and the source ends. Raises SourceError when the folder is gone.
    """

    def __init__(self, address: Address, options: SourceOptions, clock: Clock) -> None:
        self._folder = Path(address.target)
        self._options = options
        self._clock = clock
        self._closed = threading.Event()
        self._done: dict[str, _Version] = {}
        self._candidates: dict[str, _Candidate] = {}
        self._queue: deque[str] = deque()
        self._looked = False
        width, height = self._first_size()
        self._info = SourceInfo(width, height, 0.0, "pictures", live=False, finite=not options.follow)

    @property
    def info(self) -> SourceInfo:
        return self._info

    def read(self) -> Grab:
        deadline_s = self._clock.monotonic() + IDLE_S
        while True:
            grab = self._next()
            if grab is not None:
                return grab
            if not self._options.follow:
                raise SourceEndedError(f"{self._folder} ended after {len(self._done)} pictures")
            if self._clock.monotonic() >= deadline_s:
                raise SourceIdleError(f"{self._folder} has no new picture")
            if self._clock.wait(self._closed, _LOOK_S):
                raise SourceError(f"{self._folder} is closed")

    def close(self) -> None:
        self._closed.set()

    def _next(self) -> Grab | None:
        if not self._queue:
            self._look()
        while self._queue:
            grab = self._take(self._queue.popleft())
            if grab is not None:
                return grab
        return None

    def _look(self) -> None:
        """Queue what may be complete: old enough, or unchanged since an earlier look."""
        now_s = self._clock.monotonic()
        found = self._files()
        self._done = {name: version for name, version in self._done.items() if name in found}
        candidates: dict[str, _Candidate] = {}
        settled: list[str] = []
        for name in sorted(found):
            version = found[name]
            if self._done.get(name) == version:
                continue
            known = self._candidates.get(name)
            seen_before = known is not None and known.version == version
            candidates[name] = known if known is not None and seen_before else _Candidate(version, now_s)
            if seen_before or not self._options.follow or self._is_old(version):
                settled.append(name)
        if self._looked:
            settled.sort(key=lambda name: (found[name].modified_ns, name))
        self._looked = True
        self._candidates = candidates
        self._queue.extend(settled)

    def _files(self) -> dict[str, _Version]:
        found: dict[str, _Version] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or Path(entry.name).suffix.lower() not in PICTURE_SUFFIXES:
                        continue
                    try:
                        if entry.is_file():
                            found[entry.name] = _version(entry.stat())
                    except FileNotFoundError:
                        continue  # deleted between listing and looking
        except OSError as error:
            raise SourceError(f"the folder {self._folder} cannot be read: {error.strerror}") from None
        return found

    def _is_old(self, version: _Version) -> bool:
        return self._clock.now().timestamp() - version.modified_ns / 1e9 >= _SETTLE_S

    def _take(self, name: str) -> Grab | None:
        candidate = self._candidates.get(name)
        if candidate is None:
            return None
        path = self._folder / name
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
                unchanged = _version(os.fstat(file.fileno())) == candidate.version
        except OSError:
            return None  # gone or not readable yet: the next look decides
        if not unchanged:
            return None
        try:
            picture = decode_picture(data)
        except PictureError as error:
            if self._options.follow and not self._stands_still(candidate):
                return None
            return self._finish(name, candidate, len(data), PictureError(f"{path}: {error}"))
        return self._finish(name, candidate, len(data), picture)

    def _stands_still(self, candidate: _Candidate) -> bool:
        return self._is_old(candidate.version) or self._clock.monotonic() - candidate.since_s >= _SETTLE_S

    def _finish(self, name: str, candidate: _Candidate, size: int, outcome: U8 | PictureError) -> Grab:
        self._done[name] = candidate.version
        del self._candidates[name]

        def picture() -> U8:
            if isinstance(outcome, PictureError):
                raise outcome
            return outcome

        return Grab(
            media_s=None,
            keyframe=True,
            corrupt=isinstance(outcome, PictureError),
            packet_bytes=size,
            picture=picture,
            name=name,
        )

    def _first_size(self) -> tuple[int, int]:
        """Size of the first readable picture, (0, 0) while there is none. Raises SourceError as `read`."""
        for name in sorted(self._files()):
            try:
                with (self._folder / name).open("rb") as file:
                    return picture_size(file.read(MAX_BYTES))
            except (OSError, PictureError):
                continue
        return 0, 0


def _version(stat: os.stat_result) -> _Version:
    return _Version(stat.st_ino, stat.st_size, stat.st_mtime_ns)
