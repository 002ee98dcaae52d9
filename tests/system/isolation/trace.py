"""A command under strace, in a network namespace with only loopback where that is allowed; and what it did.

Every socket it made, every address it spoke to, every file it opened for writing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CALLS = (
    "trace=network,close,open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,"
    "mknod,mknodat"
)
_CALL = re.compile(r"^(?P<pid>\d+)\s+(?P<name>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+|\?)")
_IP = re.compile(r'sin6?_port=htons\((?P<port>\d+)\).*?"(?P<host>[0-9a-fA-F.:]+)"')
_PATHS = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PLACED = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, )?"(?P<path>(?:[^"\\]|\\.)*)"')
_WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")
_UP = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running
os.execvp(sys.argv[1], sys.argv[1:])
"""


@dataclass
class Deeds:
    """What a process and its children did to the world."""

    spoken_to: set[tuple[str, int]] = field(default_factory=set)
    """Host and port of every connect, sendto, sendmsg."""
    listening: set[tuple[str, int]] = field(default_factory=set)
    unix: set[str] = field(default_factory=set)
    families: set[str] = field(default_factory=set)
    written: set[Path] = field(default_factory=set)
    read: set[str] = field(default_factory=set)

    def written_outside(self, *folders: Path) -> set[Path]:
        roots = [folder.resolve() for folder in folders]
        return {path for path in self.written if not any(path.is_relative_to(root) for root in roots)}


def strace() -> str:
    """Its path; skips the test where nothing may be traced."""
    path = shutil.which("strace")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("strace is not installed: apt install strace")
        pytest.skip("strace is not installed: apt install strace")
    if (
        subprocess.run([path, "-qq", "-o", "/dev/null", "true"], capture_output=True, timeout=60).returncode
        != 0
    ):
        pytest.skip("strace is installed, but nothing may be traced here (ptrace is forbidden)")
    return path


def alone() -> list[str]:
    """What to put before a command so that it sees no network but loopback; empty where that is not allowed."""
    prefix = ["unshare", *(["--map-root-user"] if os.getuid() != 0 else []), "--net"]
    start = [*prefix, sys.executable, "-c", _UP]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*start, "true"], capture_output=True, timeout=60).returncode
    ):
        return []
    return start


def traced(command: Sequence[str], log: Path) -> list[str]:
    return [strace(), "-f", "-y", "-qq", "--seccomp-bpf", "-s", "300", "-e", CALLS, "-o", str(log), *command]


def deeds(log: Path, cwd: Path) -> Deeds:
    """Relative paths start at `cwd`. Calls that failed count: whoever tries to reach out is told by it."""
    found = Deeds()
    own: dict[str, tuple[str, int]] = {}
    listeners: set[str] = set()
    for line in _whole_lines(log):
        call = _CALL.match(line)
        if call is None:
            continue
        name, arguments = call["name"], call["arguments"]
        if name == "socket":
            found.families.add(arguments.split(",")[0])
        elif name in ("connect", "sendto", "sendmsg", "sendmmsg"):
            address = _IP.search(arguments)
            if address is not None:
                found.spoken_to.add((address["host"], int(address["port"])))
            elif "AF_UNIX" in arguments:
                found.unix.add((_PATHS.findall(arguments) or [""])[-1])
        elif name in ("bind", "getsockname") and (address := _IP.search(arguments)) is not None:
            # a client may bind too; who binds to port 0 asks for the port afterwards
            place = (address["host"], int(address["port"]))
            own[arguments.split(",")[0]] = place
            if arguments.split(",")[0] in listeners and place[1] != 0:
                found.listening.add(place)
        elif name == "listen":
            listener = arguments.split(",")[0]
            listeners.add(listener)
            if listener in own and own[listener][1] != 0:
                found.listening.add(own[listener])
        elif name == "close":
            listeners.discard(arguments.strip())
            own.pop(arguments.strip(), None)
        elif name.startswith("open") or name == "creat":
            path = (_placed(arguments, cwd) or [Path()])[0]
            if name == "creat" or _WRITING.search(arguments):
                if int(call["result"]) >= 0:
                    found.written.add(path)
            else:
                found.read.add(str(path))
        elif name.startswith(("mkdir", "rename", "link", "symlink", "mknod")) and call["result"] == "0":
            found.written |= set(_placed(arguments, cwd))
    return found


def _placed(arguments: str, cwd: Path) -> list[Path]:
    """The paths among a call's arguments, each from the folder it starts at."""
    return [
        Path(os.path.normpath(Path(match["folder"] or cwd) / match["path"]))
        for match in _PLACED.finditer(arguments)
    ]


def _whole_lines(log: Path) -> list[str]:
    """Calls that strace wrote in two halves, because another thread came between, put together."""
    whole, waiting = [], {}
    for line in log.read_text(errors="replace").splitlines():
        pid = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            waiting[pid] = line.removesuffix("<unfinished ...>").rstrip()
        elif "resumed>" in line and pid in waiting:
            whole.append(waiting.pop(pid) + line.split("resumed>", 1)[1])
        else:
            whole.append(line)
    return whole
