"""Small files that survive a power cut: written beside, synced, renamed, and their folder synced.

For the model store alone. All raise OSError.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

ACTIVE, PREVIOUS, SHADOW = "active", "previous", "shadow"
CONFIGURED = "configured"
"""A fourth pointer: the file of the configuration that was taken over last. It keeps no file from being pruned."""
FORCED = "forced"
"""The file that was last activated past the gate."""
QUARANTINED = ".quarantined"
"""`<sha256>.quarantined` holds the reason why that file must not serve again."""
TEMPORARY = ".new-"
"""What a file is called until it is whole."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


def entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, each one on disk before the next stands in it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o750)
    sync_folder(folder.parent)


def read_pointer(folder: Path, pointer: str) -> str | None:
    try:
        text = (folder / pointer).read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return text if _SHA256.fullmatch(text) else None


def write_pointer(folder: Path, pointer: str, sha256: str) -> None:
    write_atomically(folder / pointer, f"{sha256}\n".encode())


def write_atomically(path: Path, data: bytes) -> None:
    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_file(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
