"""One turn of a connection's network loop, with paho's functions for a loop of one's own.

paho's own `loop` writes a byte to a socket for every message published, which wakes the network thread for each of
them; the two threads then take turns at the interpreter's lock message by message. Here whoever publishes knocks
once, when everything that may go has been handed over (measured: 4,500 a second before, see docs/performance.md).
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Knock:
    """Ends another thread's wait for the network. `knock` from any thread; the rest on the network thread."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)

    def knock(self) -> None:
        # full: it was knocked often enough; closed: nobody waits any more
        with suppress(OSError):
            self._near.send(b"\0")

    def wait(self, sock: HasFileno, writing: bool, timeout_s: float) -> bool:
        """Until `sock` can be read, or written if `writing`, or somebody knocks; says whether reading it tells
        something: bytes, or that it is broken."""
        # not `select`, which refuses descriptors from 1024 on: a hundred cameras have that many files open
        wanted = select.poll()
        wanted.register(self._far, select.POLLIN)
        wanted.register(sock, select.POLLIN | (select.POLLOUT if writing else 0))
        ready = dict(wanted.poll(timeout_s * 1000.0))
        if self._far.fileno() in ready:
            with suppress(BlockingIOError):
                self._far.recv(4096)
        return bool(ready.get(sock.fileno(), 0) & ~select.POLLOUT)

    def close(self) -> None:
        self._near.close()
        self._far.close()


def turn(client: paho.Client, knock: Knock, timeout_s: float) -> MQTTErrorCode:
    """Wait for something to do, at most `timeout_s`, and do it: all that can be read, then all that can be
    written."""
    sock = client.socket()
    if sock is None:
        return MQTTErrorCode.MQTT_ERR_CONN_LOST
    # TLS may hold bytes that the socket no longer shows
    pending = getattr(sock, "pending", None)
    held = pending is not None and pending() > 0
    readable = knock.wait(sock, client.want_write(), 0.0 if held else timeout_s)
    if readable or held:
        rc = client.loop_read()
        if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return rc
    if client.want_write():
        rc = client.loop_write()
        if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return rc
    return client.loop_misc()
