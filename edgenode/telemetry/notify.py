"""Tells systemd how the service is doing (sd_notify(3)), without a library: it is one datagram.

Nothing here raises: a service manager that cannot be reached must not stop the node.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

_SEND_TIMEOUT_S = 1.0


class Notifier:
    """Sends state to the socket `NOTIFY_SOCKET` names; silent where there is none. Any thread may call.

    `environ` is read once. Every method says whether the message was handed over.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog_s = _watchdog_s(environ)

    @property
    def supervised(self) -> bool:
        """Whether a service manager listens."""
        return self._address is not None

    @property
    def watchdog_interval_s(self) -> float | None:
        """Seconds after which the manager ends a silent service; send at least twice as often. None: no
        watchdog."""
        return self._watchdog_s

    def ready(self, status: str = "") -> bool:
        """Start-up, or a reload announced by `reloading`, is finished."""
        return self._send("READY=1", *_status(status))

    def reloading(self, status: str = "") -> bool:
        """A reload begins; `ready` must follow. The manager needs the monotonic time to order the two."""
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        return self._send("RELOADING=1", f"MONOTONIC_USEC={usec}", *_status(status))

    def stopping(self, status: str = "") -> bool:
        return self._send("STOPPING=1", *_status(status))

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self._send(*_status(text))

    def watchdog(self) -> bool:
        """All supervised threads make progress. Call it only where that has been checked."""
        return self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> bool:
        if self._address is None or not lines:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SEND_TIMEOUT_S)
                sender.connect(self._address)
                sender.sendall("\n".join(lines).encode("utf-8", "replace"))
        except OSError:
            return False
        return True


def _address(name: str) -> str | None:
    if name.startswith("@") and len(name) > 1:
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _status(text: str) -> tuple[str, ...]:
    """One assignment; a line break in the text would start another."""
    return (f"STATUS={' '.join(text.split())[:512]}",) if text else ()


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    pid = environ.get("WATCHDOG_PID")
    if pid is not None and pid != str(os.getpid()):
        # Meant for another process of the service, which handed its environment on.
        return None
    try:
        interval_us = int(environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return interval_us / 1e6 if interval_us > 0 else None
