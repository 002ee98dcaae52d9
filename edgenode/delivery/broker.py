"""The built-in development broker: amqtt on loopback, for demos and first steps. Not for production.

It speaks MQTT 3.1.1 only, over TCP and, for the live page, over WebSockets, and keeps nothing; a gateway runs
Mosquitto (`mosquitto/README.md`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import Any

from edgenode.errors import ConfigurationError, EdgeNodeError

HOST = "127.0.0.1"
_START_S = 15.0
_STOP_S = 10.0


class BrokerError(EdgeNodeError):
    """The built-in broker cannot start."""


class EmbeddedBroker:
    """`start` and `stop` from one thread; the broker runs in a thread of its own with its own event loop."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._websocket_port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return self._port

    @property
    def websocket_url(self) -> str:
        """Where browsers on this machine connect, once started."""
        return f"ws://{HOST}:{self._websocket_port}"

    def start(self) -> None:
        """Returns when clients can connect. Raises ConfigurationError or BrokerError."""
        try:
            import amqtt.broker  # noqa: F401 - heavy, and an extra: only here
        except ImportError as error:
            raise ConfigurationError(
                ['mqtt.host: "embedded" needs pip install "edgenode[demo]"; or name a broker']
            ) from error
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise BrokerError(f"the built-in broker did not start within {_START_S:.0f} s")
        if self._failure is not None:
            self._thread.join()
            raise BrokerError(
                f"built-in broker: it cannot listen on {HOST}:{self._port}: {self._failure}; set mqtt.port"
            ) from self._failure

    def stop(self) -> None:
        """Disconnect everybody and end the thread."""
        if self._loop is None or self._leave is None or not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        from amqtt.broker import Broker

        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        # amqtt does not tell which port it took: find a free one for it
        self._port, self._websocket_port = _free_port(self._port), _free_port(0)
        broker = Broker(_configuration(self._port, self._websocket_port))
        await broker.start()
        try:
            self._ready.set()
            await self._leave.wait()
        finally:
            await broker.shutdown()


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, wanted))
        return int(probe.getsockname()[1])


def _configuration(port: int, websocket_port: int) -> dict[str, Any]:
    """amqtt's own default listens on every address; this one does not."""
    return {
        "listeners": {
            "default": {"type": "tcp", "bind": f"{HOST}:{port}", "max_connections": 50},
            "browsers": {"type": "ws", "bind": f"{HOST}:{websocket_port}", "max_connections": 50},
        },
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
