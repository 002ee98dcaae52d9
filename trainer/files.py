"""Writing files so that what was there stays whole until the new one is."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Calls `write` with a file that becomes `path` once it is complete and on the disk. Raises OSError; what was
    there is then untouched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:60]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:  # a full disk does not say whose file it was
        Path(name).unlink(missing_ok=True)
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def check_writable(path: Path) -> None:
    """Whether a file can be made at `path`, or in the nearest folder above it that is there: to be asked before hours
    of work. Leaves nothing behind. Raises OSError naming `path`."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder; a file is wanted", str(path))
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{path.name[:60]}.") as inside:
            if folder != path.parent:
                (Path(inside) / path.parent.relative_to(folder)).mkdir(parents=True)
    except OSError as error:
        raise type(error)(error.errno, f"cannot be written: {error.strerror}", str(path)) from error


def write_file(path: Path, data: bytes) -> None:
    """Makes `data` the content of `path`, as `write_atomically` does."""
    write_atomically(path, lambda file: file.write(data))
