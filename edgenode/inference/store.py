"""The models installed on this node: `<state_dir>/models/<name>/<sha256>.onnx` and three pointers.

`active`, `previous` and `shadow` are one-line files that hold a sha256. A pointer is replaced by writing a
new file, fsyncing it, renaming it over the old one and fsyncing the folder, and a model file stands under its
name only once it is whole, proven and on disk. So whenever the power fails, each pointer names a whole file
or does not exist.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edgenode.errors import ModelError
from edgenode.inference.classifier import Classifier, ClassifierOptions
from edgenode.inference.onnx_file import file_sha256, read_card, read_model_bytes
from edgenode.inference.store_files import (
    ACTIVE,
    CONFIGURED,
    FORCED,
    PREVIOUS,
    QUARANTINED,
    SHADOW,
    TEMPORARY,
    entries,
    make_folder,
    read_pointer,
    remove_file,
    write_atomically,
    write_pointer,
)

_POINTERS = (ACTIVE, PREVIOUS, SHADOW)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REASON_BYTES = 2000


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """One model file in the store and the pointers that name it."""

    name: str
    sha256: str
    path: Path
    size_bytes: int
    active: bool
    previous: bool
    shadow: bool
    quarantined: str | None = None
    """Why it must not serve again, or None."""


class ModelStore:
    """The folder of installed models. Methods that change it hold a file lock, so that the daemon and the
    command line can both work on it; reading needs none. All raise ModelError with what to do."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "models"

    def install(
        self,
        path: Path,
        expected_sha256: str | None = None,
        options: ClassifierOptions | None = None,
        name: str | None = None,
    ) -> InstalledModel:
        """Prove the model file at `path` and copy it into the store, under the name in its card, which must be
        `name` where one is given.

        The bytes that were proven are the bytes that are stored. No pointer names them yet: see `activate`.
        Installing what is installed is no error, and mends a damaged copy.
        """
        options = replace(options or ClassifierOptions(), expected_sha256=expected_sha256)
        data = read_model_bytes(path)
        classifier = Classifier.load_bytes(data, str(path), options)
        found, sha256 = classifier.card.name, classifier.identity.sha256
        classifier.close()
        if name is not None and name != found:
            raise ModelError(f"{path}: its card says it is model {found}, not {name}")
        name = found
        with self._changing(name, create=True) as folder:
            write_atomically(folder / f"{sha256}.onnx", data)
        return self.find(name, sha256)

    def activate(self, name: str, sha256: str, forced: bool = False) -> InstalledModel:
        """Let `active` name this file, and `previous` the one before it. The file's hash is checked.

        `forced`: somebody at the gateway wants it though nothing speaks for it; the node will say so.
        """
        with self._changing(name) as folder:
            self._require_fit(folder, sha256)
            before = read_pointer(folder, ACTIVE)
            if before is not None and before != sha256:
                write_pointer(folder, PREVIOUS, before)
            if forced:
                write_pointer(folder, FORCED, sha256)
            write_pointer(folder, ACTIVE, sha256)
        return self.find(name, sha256)

    def was_forced(self, name: str, sha256: str) -> bool:
        """Whether this file was the last one to be forced."""
        return read_pointer(self._folder(name), FORCED) == sha256

    def rollback(self, name: str) -> InstalledModel:
        """Exchange `active` and `previous`: back, and with a second call forth again."""
        with self._changing(name) as folder:
            before, active = read_pointer(folder, PREVIOUS), read_pointer(folder, ACTIVE)
            if before is None or before == active:
                raise ModelError(
                    f"model {name}: no earlier version is remembered; activate one by its sha256"
                )
            self._require_fit(folder, before)
            write_pointer(folder, ACTIVE, before)
            if active is not None:
                write_pointer(folder, PREVIOUS, active)
        return self.find(name, before)

    def shadow(self, name: str, sha256: str | None) -> InstalledModel | None:
        """Let `shadow` name this file (it answers beside the active one and decides nothing), or nothing."""
        with self._changing(name) as folder:
            if sha256 is None:
                remove_file(folder / SHADOW)
                return None
            self._require_fit(folder, sha256)
            write_pointer(folder, SHADOW, sha256)
        return self.find(name, sha256)

    def quarantine(self, name: str, sha256: str, reason: str) -> None:
        """Let this file never serve again until it is released: `activate`, `rollback` and `shadow` refuse it.

        It need not be installed. A pointer that names it stays: its caller says what serves instead.
        """
        if not _SHA256.fullmatch(sha256):
            raise ModelError(f"model {name}: {sha256!r} is no sha256")
        with self._changing(name, create=True) as folder:
            text = " ".join(reason.split()).encode()[:_REASON_BYTES]
            write_atomically(folder / f"{sha256}{QUARANTINED}", text + b"\n")

    def release(self, name: str, sha256: str) -> None:
        """End the quarantine of a file. Raises ModelError where there is none."""
        with self._changing(name) as folder:
            path = folder / f"{sha256}{QUARANTINED}"
            if not _SHA256.fullmatch(sha256) or not path.is_file():
                raise ModelError(f"model {name}: {sha256} is not in quarantine")
            remove_file(path)

    def quarantined(self, name: str) -> dict[str, str]:
        """sha256 to reason, of every file of `name` in quarantine, installed or not."""
        found = {}
        for path in sorted(entries(self._folder(name))):
            if path.suffix == QUARANTINED and _SHA256.fullmatch(path.stem):
                with suppress(FileNotFoundError):
                    found[path.stem] = path.read_text(encoding="utf-8", errors="replace").strip()
        return found

    def configured(self, name: str) -> str | None:
        """The sha256 of the configuration's file that was taken over last."""
        return read_pointer(self._folder(name), CONFIGURED)

    def adopt(self, path: Path, name: str, sha256: str) -> None:
        """Copy a file into the store that was proven under this hash elsewhere. Raises ModelError where the file
        is another one by now."""
        data = read_model_bytes(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ModelError(f"{path}: is another file by now; try again")
        with self._changing(name, create=True) as folder:
            write_atomically(folder / f"{sha256}.onnx", data)

    def take_over(self, name: str, sha256: str) -> None:
        """Activate the configuration's file, and remember that it was taken over: until the configuration
        names another file, the pointers say what serves."""
        if self.configured(name) != sha256:
            self.activate(name, sha256)
            with self._changing(name) as folder:
                write_pointer(folder, CONFIGURED, sha256)

    def remove(self, name: str, sha256: str) -> None:
        """Delete one file. Raises ModelError while a pointer names it."""
        with self._changing(name) as folder:
            self._require(folder, sha256)
            pointers = [pointer for pointer in _POINTERS if read_pointer(folder, pointer) == sha256]
            if pointers:
                raise ModelError(
                    f"model {name} {sha256[:12]}: is {' and '.join(pointers)}; activate another first"
                )
            remove_file(folder / f"{sha256}.onnx")

    def prune(self, name: str, keep: int) -> tuple[str, ...]:
        """Delete the oldest files that no pointer names, all but `keep` of them; returns their sha256."""
        with self._changing(name):
            loose = [m for m in self.models(name) if not (m.active or m.previous or m.shadow)]
            loose.sort(key=lambda model: (model.path.stat().st_mtime_ns, model.sha256), reverse=True)
            for model in loose[max(0, keep) :]:
                remove_file(model.path)
            return tuple(model.sha256 for model in loose[max(0, keep) :])

    def active(self, name: str) -> InstalledModel | None:
        """The model that serves under `name`, or None where none was activated."""
        return self._pointed(name, ACTIVE)

    def previous(self, name: str) -> InstalledModel | None:
        return self._pointed(name, PREVIOUS)

    def shadowed(self, name: str) -> InstalledModel | None:
        return self._pointed(name, SHADOW)

    def find(self, name: str, sha256: str) -> InstalledModel:
        """The installed file whose hash is, or begins with, `sha256` (at least 6 characters)."""
        folder = self._folder(name)
        if len(sha256) < 6 or not re.fullmatch(r"[0-9a-f]{1,64}", sha256):
            raise ModelError(f"model {name}: {sha256!r} is no sha256, nor its first 6 to 64 characters")
        found = [model for model in self.models(name) if model.sha256.startswith(sha256)]
        if len(found) != 1:
            raise ModelError(
                f"model {name}: {len(found)} files in {folder} have a sha256 that begins with {sha256}"
            )
        return found[0]

    def models(self, name: str | None = None) -> tuple[InstalledModel, ...]:
        """Every installed file (of `name`), ordered by name and hash."""
        if name is None:
            names = sorted(p.name for p in entries(self.folder) if p.is_dir() and _NAME.fullmatch(p.name))
            return tuple(model for each in names for model in self.models(each))
        folder = self._folder(name)
        pointers = {pointer: read_pointer(folder, pointer) for pointer in _POINTERS}
        quarantined = self.quarantined(name)
        installed = []
        for path in sorted(entries(folder)):
            if path.suffix != ".onnx" or not _SHA256.fullmatch(path.stem):
                continue
            with suppress(FileNotFoundError):  # removed since it was listed
                installed.append(
                    InstalledModel(
                        name=name,
                        sha256=path.stem,
                        path=path,
                        size_bytes=path.stat().st_size,
                        active=pointers[ACTIVE] == path.stem,
                        previous=pointers[PREVIOUS] == path.stem,
                        shadow=pointers[SHADOW] == path.stem,
                        quarantined=quarantined.get(path.stem),
                    )
                )
        return tuple(installed)

    def _pointed(self, name: str, pointer: str) -> InstalledModel | None:
        sha256 = read_pointer(self._folder(name), pointer)
        if sha256 is None:
            return None
        found = next((model for model in self.models(name) if model.sha256 == sha256), None)
        if found is None:
            raise ModelError(f"model {name}: `{pointer}` names {sha256}, which is gone; install it again")
        return found

    def _folder(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ModelError(
                f"{name!r} is no model name: a to z first, then a to z, 0 to 9 and _, 32 at most"
            )
        return self.folder / name

    def _require(self, folder: Path, sha256: str) -> Path:
        path = folder / f"{sha256}.onnx"
        if not _SHA256.fullmatch(sha256) or not path.is_file():
            raise ModelError(f"model {folder.name}: {sha256} is not installed in {folder}")
        return path

    def _require_fit(self, folder: Path, sha256: str) -> None:
        """Whole, and not in quarantine."""
        self._require_whole(folder, sha256)
        reason = self.quarantined(folder.name).get(sha256)
        if reason is not None:
            raise ModelError(
                f"model {folder.name} {sha256[:12]}: is in quarantine ({reason}); `edgenode model release` ends it"
            )

    def _require_whole(self, folder: Path, sha256: str) -> None:
        path = self._require(folder, sha256)
        if file_sha256(path) != sha256:
            raise ModelError(
                f"{path}: is damaged, its sha256 is not its name any more; install the model again"
            )
        name = read_card(path).name
        if name != folder.name:
            raise ModelError(f"{path}: its card says it is model {name}; install it again")

    @contextmanager
    def _changing(self, name: str, create: bool = False) -> Iterator[Path]:
        """The model's folder, locked, and cleared of what an interrupted change left behind."""
        folder = self._folder(name)
        try:
            if create:
                make_folder(folder)
            elif not folder.is_dir():
                raise ModelError(f"model {name}: is not installed in {self.folder}")
            with (self.folder / ".lock").open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                for path in entries(folder):
                    if path.name.startswith(TEMPORARY):
                        remove_file(path)
                yield folder
        except OSError as error:
            raise ModelError(f"{folder}: cannot be changed: {error.strerror or error}") from error
