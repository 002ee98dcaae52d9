"""Runs a command under what the unit takes away, where no systemd runs: its system call filter, no new executable
memory, its address families, no capabilities, no new privileges.

`python -m tests.system.isolation.sandbox UNIT COMMAND...`; libseccomp does the work, as it does in systemd.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_EQUAL, _MASKED_EQUAL = 4, 7
_WRITE, _EXEC, _SHM_EXEC = 0x2, 0x4, 0o100000
_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}


class _Compare(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def missing() -> str:
    """What there is not on this machine to build the sandbox with; "" where all is."""
    needed = [name for name in ("systemd-analyze", "setpriv") if shutil.which(name) is None]
    if not needed and subprocess.run([*_bare(), "true"], capture_output=True, timeout=60).returncode != 0:
        needed.append("the right to give up rights (CAP_SETPCAP)")
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        needed.append("libseccomp.so.2")
    return ", ".join(needed)


def settings(unit: Path, key: str) -> list[str]:
    """The words of every line `key=` of the unit, in order."""
    lines = [line.partition("=") for line in unit.read_text(encoding="utf-8").splitlines()]
    return [word for name, _, value in lines if name == key for word in _signed(value)]


def _signed(value: str) -> list[str]:
    """`~a b` takes a and b away: the sign goes to each."""
    sign = "~" if value.startswith("~") else ""
    return [sign + word for word in value.lstrip("~").split()]


@cache
def _group(name: str) -> frozenset[str]:
    asked = ["systemd-analyze", "syscall-filter", "--no-pager", name]
    text = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout
    words = [line.strip() for line in text.splitlines()[1:] if line.startswith(" ")]
    return frozenset().union(
        *(_group(word) if word.startswith("@") else {word} for word in words if word[0] != "#")
    )


def permitted(unit: Path) -> set[str]:
    """The system calls that the unit's `SystemCallFilter` lines leave."""
    # what systemd allows whatever the filter says, so that a program can start and end
    names = set(_group("@default"))
    for word in settings(unit, "SystemCallFilter"):
        bare = word.lstrip("~")
        calls = _group(bare) if bare.startswith("@") else {bare}
        names = names - calls if word.startswith("~") else names | calls
    return names


class _Filter:
    """One filter; of several that are loaded the strictest answer holds."""

    def __init__(self, default: int) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(default)))
        assert self._context

    def rule(self, action: int, name: str, *compare: tuple[int, int, int, int]) -> None:
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # of another architecture
        array = (_Compare * max(1, len(compare)))(*(_Compare(*each) for each in compare))
        code = self._library.seccomp_rule_add_array(
            self._context, ctypes.c_uint32(action), number, len(compare), array
        )
        assert code == 0, f"{name}: {os.strerror(-code)}"

    def load(self) -> None:
        code = self._library.seccomp_load(self._context)
        assert code == 0, os.strerror(-code)


def enter(unit: Path) -> None:
    """This process and all it starts from here on. There is no way back."""
    refused = _ERRNO | errno.EPERM
    calls = _Filter(refused)
    for name in sorted(permitted(unit)):
        calls.rule(ALLOW, name)
    memory = _Filter(ALLOW)
    if settings(unit, "MemoryDenyWriteExecute") == ["yes"]:
        memory.rule(refused, "mmap", (2, _MASKED_EQUAL, _WRITE | _EXEC, _WRITE | _EXEC))
        for name in ("mprotect", "pkey_mprotect"):
            memory.rule(refused, name, (2, _MASKED_EQUAL, _EXEC, _EXEC))
        memory.rule(refused, "shmat", (2, _MASKED_EQUAL, _SHM_EXEC, _SHM_EXEC))
    families = _Filter(ALLOW)
    allowed = [_FAMILIES[name] for name in settings(unit, "RestrictAddressFamilies")]
    for family in set(range(46)) - set(allowed):
        families.rule(_ERRNO | errno.EAFNOSUPPORT, "socket", (0, _EQUAL, family, 0))
    for each in (families, memory, calls):
        each.load()


def _bare() -> list[str]:
    """What takes capabilities away from root; others have none."""
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"] if os.getuid() == 0 else []


def command(unit: Path, *words: str) -> list[str]:
    """`words` in the sandbox, to be started from the repository."""
    return [*_bare(), sys.executable, "-m", "tests.system.isolation.sandbox", str(unit), *words]


if __name__ == "__main__":
    enter(Path(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
