"""What can be asked of this machine without opening a camera or a connection: addresses, devices, files."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

SERVICE_ENVIRONMENT = Path("/etc/default/edgenode")
"""The unit's EnvironmentFile."""
EMBEDDED = "embedded"
"""The broker host that stands for the built-in development broker."""


def is_loopback(host: str) -> bool:
    """Whether `host` never leaves this machine. Names other than `localhost` are not looked up."""
    if host in ("localhost", EMBEDDED) or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def usb_device(source: str) -> str | None:
    """The device file of a `usb:` source, links followed; None for other sources."""
    scheme, _, rest = source.partition(":")
    if scheme != "usb":
        return None
    device = rest.partition("?")[0]
    return os.path.realpath(f"/dev/video{int(device)}" if device.isdecimal() else device)


def unreadable(path: Path) -> str | None:
    """Why a file cannot be read by this process, or None."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"
    return None


def is_credential(path: Path, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether systemd makes `path` for the service alone, and this process is not that service."""
    return path.is_relative_to("/run/credentials") and "CREDENTIALS_DIRECTORY" not in environ


def service_environment(path: Path = SERVICE_ENVIRONMENT) -> dict[str, str]:
    """The `EDGENODE__` variables that the unit's EnvironmentFile gives the service (systemd.exec(5): one KEY=VALUE a
    line, quotes around the value taken off); empty where there is none, or it is closed to this user."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in map(str.strip, lines):
        name, equals, value = line.partition("=")
        if equals and name.startswith("EDGENODE__"):
            value = value.strip()
            quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
            found[name.strip()] = value[1:-1] if quoted else value
    return found


def give_to_owner(folder: Path) -> None:
    """What root has made in `folder` becomes the folder's owner's: a service that is not root could not read it.

    Does nothing for other users, for a folder that is root's own, or for none. Raises OSError.
    """
    if os.geteuid() != 0 or not folder.is_dir() or (owner := folder.stat()).st_uid == 0:
        return
    for path in folder.rglob("*"):
        # a node that runs removes files meanwhile
        with suppress(FileNotFoundError):
            if path.lstat().st_uid == 0:
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def running_process(state_dir: Path, locks: Path = Path("/proc/locks")) -> str | None:
    """The id of the process that holds the state directory, where one does and this user may see it.

    The kernel's list is read; trying the lock would make a node that starts just then believe in another.
    """
    try:
        inode = (state_dir / "lock").stat().st_ino
        lines = locks.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:  # number: FLOCK ADVISORY WRITE process major:minor:inode start end
        fields = line.split()
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
            return fields[4]
    return None


def unwritable(folder: Path) -> str | None:
    """Why nothing can be kept in `folder`, and what to do; None when it can. Creates nothing."""
    existing = folder
    # `os.path` answers False where a folder on the way may not be entered; `Path.exists` would raise.
    while not os.path.exists(existing) and existing != existing.parent:
        existing = existing.parent
    advice = (
        f"make it (sudo install -d -m 700 -o $USER {folder}), choose another, or run the node as its service"
    )
    if not os.path.isdir(existing):
        return f"{existing} is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
        place = (
            "cannot be written to"
            if existing == folder
            else f"does not exist and {existing} cannot be written to"
        )
        return f"{folder} {place}; {advice}"
    return None


def readable_by_all(path: Path) -> bool:
    """Whether every user of this machine may read the file."""
    try:
        return bool(path.stat().st_mode & 0o004)
    except OSError:
        return False
