"""A TCP proxy before a broker that can cut, refuse and stall the way, and counts what is on it."""

from __future__ import annotations

import select
import socket
import struct
import threading
from types import TracebackType
from typing import Self

PUBLISH, PUBACK = 3, 4
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends RST and forgets what was not sent, as a cut line does."""


class MqttProxy:
    """Listens on `port` while it is up. One thread accepts, one serves each connection."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._closing = False
        self._up = True
        self._pairs: dict[threading.Thread, tuple[socket.socket, socket.socket]] = {}
        self._server = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = int(self._server.getsockname()[1])
        self.poison = b""
        """Cuts a connection whenever the node sends these bytes; empty for never."""
        self.connections = 0
        """Connections that reached the broker."""
        self.turned_away = 0
        """Attempts while the way was down."""
        self.published = 0
        """QoS 1 PUBLISH packets passed up."""
        self.acknowledged = 0
        """PUBACKs passed down."""
        self.most = 0
        """The greatest number of QoS 1 messages of one connection that were on their way at once."""
        self._acceptor = threading.Thread(target=self._accept, name="proxy")
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def down(self) -> None:
        """Cut every connection in the middle of what it sends, and turn new ones away."""
        with self._lock:
            self._up = False
        self._cut()

    def up(self) -> None:
        with self._lock:
            self._up = True

    def hang_up(self) -> None:
        """End every connection as a broker does that is done with it; the way stays open."""
        with self._lock:
            for near, _ in self._pairs.values():
                near.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Nothing passes any more, and nobody is told: a path that drops every packet."""
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    def close(self) -> None:
        self._closing = True
        self._flowing.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(60.0)
        self._server.close()
        self._cut()
        for thread in list(self._pairs):
            thread.join(60.0)

    def _cut(self) -> None:
        with self._lock:
            for pair in self._pairs.values():
                for each in pair:
                    try:
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                        each.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        continue

    def _accept(self) -> None:
        while not self._closing:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            try:
                if not self._up:
                    raise ConnectionError
                far = socket.create_connection(("127.0.0.1", self._target), 5.0)
            except OSError:
                self.turned_away += 1
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                near.close()
                continue
            self.connections += 1
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                each.settimeout(5.0)
            thread = threading.Thread(target=self._serve, args=(near, far), name="proxied")
            with self._lock:
                self._pairs[thread] = (near, far)
            thread.start()

    def _serve(self, near: socket.socket, far: socket.socket) -> None:
        up, down = _Packets(), _Packets()
        on_the_way = 0
        try:
            while not self._closing:
                for source in select.select([near, far], [], [], 1.0)[0]:
                    self._flowing.wait()
                    if not (chunk := source.recv(65536)):
                        return
                    if source is near and self.poison and self.poison in chunk:
                        return
                    if source is near:
                        sent = up.count(chunk, PUBLISH, 1)
                        on_the_way += sent
                        self.published += sent
                        self.most = max(self.most, on_the_way)
                        far.sendall(chunk)
                    else:
                        answered = down.count(chunk, PUBACK)
                        on_the_way -= answered
                        self.acknowledged += answered
                        near.sendall(chunk)
        except (OSError, ValueError):
            return
        finally:
            with self._lock:
                self._pairs.pop(threading.current_thread(), None)
                near.close()
                far.close()


class _Packets:
    """Finds packets of one kind in a stream of MQTT."""

    def __init__(self) -> None:
        self._buffer = b""

    def count(self, chunk: bytes, kind: int, qos: int | None = None) -> int:
        """How many packets of `kind` (and `qos`) end with `chunk`."""
        buffer = self._buffer + chunk
        found = at = 0
        while (end := _packet_end(buffer, at)) is not None and end <= len(buffer):
            found += buffer[at] >> 4 == kind and (qos is None or buffer[at] >> 1 & 3 == qos)
            at = end
        self._buffer = buffer[at:]
        return found


def _packet_end(buffer: bytes, at: int) -> int | None:
    """Where the packet that begins at `at` ends; None while its length is not known."""
    length = 0
    for used, byte in enumerate(buffer[at + 1 : at + 5]):
        length |= (byte & 0x7F) << 7 * used
        if not byte & 0x80:
            return at + 2 + used + length
    return None
