"""The node's own HTTP listener: /metrics, /healthz, /readyz, /status.json, a status page and the live page.

The standard library's threading server, bounded: at most `MAX_CONNECTIONS` at once (more are answered 503
without a thread), one request a connection, `request_limit_s` for all of it, small requests, no request body.
A scraper, a probe and a browser need no more; an asynchronous framework would bring a dependency and an event
loop for three requests a minute. It listens on loopback unless told otherwise; `http_access` says who may ask.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from edgenode.errors import ConfigurationError
from edgenode.records import JsonObject
from edgenode.telemetry.health import Health
from edgenode.telemetry.http_access import Access
from edgenode.telemetry.http_content import PROBES, Answer, Content, Request, text
from edgenode.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 8
MAX_FROM_ONE = 6
"""Connections at once from one address, so that no single client keeps all others out."""
REQUEST_LIMIT_S = 10.0
"""From accept to close; a client that sends or reads more slowly is cut off."""
_IDLE_LIMIT_S = 5.0
_MAX_PATH = 2048
_POLL_S = 0.2
"""How soon `stop` and the time limit are noticed."""
_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
_ASK = (("WWW-Authenticate", 'Bearer realm="edgenode"'), ("WWW-Authenticate", 'Basic realm="edgenode"'))
_BUSY = (
    b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class HttpServer:
    """Serves one node. `start` binds and returns; `stop` ends every connection and thread.

    `page` is called on a request's thread and returns what /status.json shows beside the health; it must be
    quick and hold nothing secret.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        metrics: Metrics,
        health: Health,
        page: Callable[[], JsonObject],
        access: Access = Access(),  # noqa: B008 - frozen
        request_limit_s: float = REQUEST_LIMIT_S,
    ) -> None:
        self._listen = listen
        self._access = access
        self._request_limit_s = request_limit_s
        self._content = Content(metrics, health, page)
        self._server: _BoundedServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port listened on; the chosen port where 0 was asked for. Only after `start`."""
        if self._server is None:
            raise RuntimeError("the HTTP server was not started")
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the listening thread's last round; now, where it does not run."""
        return self._server.round_s if self._server is not None else time.monotonic()

    def start(self) -> None:
        """Raises ConfigurationError at once when the address cannot be had, or a file of `access` cannot be
        used: trying again would not help."""
        self._access.prove()
        host, port = self._listen
        try:
            self._server = _BoundedServer(self._listen, self._content, self._access, self._request_limit_s)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ConfigurationError(
                [
                    f"http.listen: cannot listen on {host}:{port}: {reason}; choose another port, "
                    'or set http.enabled = false, or listen = "127.0.0.1:0" for any free port'
                ]
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="http", daemon=True
        )
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Stop listening, cut what is open, wait for the threads. Says whether all of them ended."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return True
        self._server = self._thread = None
        server.shutdown()
        thread.join(timeout_s)
        server.server_close()
        return server.cut_and_join(timeout_s) and not thread.is_alive()


class _BoundedServer(HTTPServer):
    allow_reuse_address = True
    request_queue_size = 16

    def __init__(
        self, listen: tuple[str, int], content: Content, access: Access, request_limit_s: float
    ) -> None:
        self.content = content
        self.access = access
        self._request_limit_s = request_limit_s
        self.round_s = time.monotonic()
        self._lock = threading.Lock()
        self._open: dict[socket.socket, tuple[float, str]] = {}
        """Requests being answered: since when, for which address."""
        self._threads: list[threading.Thread] = []
        """Of requests; one may still be ending when its request is gone from `_open`."""
        if ":" in listen[0]:
            self.address_family = socket.AF_INET6
        super().__init__(listen, _Handler)

    def server_bind(self) -> None:
        # HTTPServer would look up the host's full name here, which can hang for seconds without a name
        # server.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        request, address = super().get_request()
        try:
            return self.access.wrap(request), address
        except OSError as error:
            # files of certificates that are being replaced, as a rule; the library drops the connection
            log.warning("an HTTP connection cannot be secured: %s", error)
            request.close()
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            alike = sum(1 for _, address in self._open.values() if address == client_address[0])
            if len(self._open) < MAX_CONNECTIONS and alike < MAX_FROM_ONE:
                thread = threading.Thread(
                    target=self._serve, args=(request, client_address), name="http", daemon=True
                )
                self._open[request] = (time.monotonic(), client_address[0])
                self._threads = [each for each in self._threads if each.is_alive()] + [thread]
                thread.start()  # under the lock: a thread that has not started yet would count as ended
            else:
                thread = None
        if thread is not None:
            return
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(_BUSY)
            # Unread bytes would turn the close into a reset, and the client would never see the answer.
            request.recv(65536)
        self.shutdown_request(request)

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            if isinstance(request, ssl.SSLSocket):
                request.settimeout(_IDLE_LIMIT_S)
                request.do_handshake()
            self.finish_request(request, client_address)
        except OSError as error:
            log.debug("an HTTP client went away: %s", error)
        except Exception:
            log.exception("an HTTP request failed")
        finally:
            with self._lock:
                self._open.pop(request, None)
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """Runs every `_POLL_S`: cuts connections that are over their time."""
        self.round_s = time.monotonic()
        limit = self.round_s - self._request_limit_s
        with self._lock:
            late = [request for request, (since, _) in self._open.items() if since < limit]
            for request in late:
                _cut(request)

    def cut_and_join(self, timeout_s: float) -> bool:
        with self._lock:
            threads = list(self._threads)
            for request in self._open:
                _cut(request)
        deadline = time.monotonic() + timeout_s
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)


def _cut(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # not the method of SSLSocket, which would let another thread go on without TLS
        socket.socket.shutdown(request, socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _BoundedServer
    timeout = _IDLE_LIMIT_S
    protocol_version = "HTTP/1.0"
    default_request_version = "HTTP/1.0"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def __getattr__(self, name: str) -> Callable[[], None]:
        # The library asks for `do_<METHOD>` and answers 501 where there is none; the right word is 405.
        if name.startswith("do_") and name[3:].isalpha():
            return self._refuse_method
        raise AttributeError(name)

    def _refuse_method(self) -> None:
        self._send(text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD", ("Allow", "GET, HEAD")))

    def _answer(self, *, with_body: bool) -> None:
        if len(self.path) > _MAX_PATH:
            self._send(text(HTTPStatus.REQUEST_URI_TOO_LONG, "too long"), with_body=with_body)
            return
        path, _, query = self.path.partition("?")
        try:
            permitted = self.server.access.permits(self.headers.get("Authorization", ""))
            answer = self._permitted(path, query) if permitted else self._stranger(path)
        except Exception:
            log.exception("answering GET %s failed", path if path.isascii() and path.isprintable() else "?")
            answer = text(HTTPStatus.INTERNAL_SERVER_ERROR, "an internal fault; see the log")
        self._send(answer, with_body=with_body)

    def _permitted(self, path: str, query: str) -> Answer:
        accept = ",".join(self.headers.get_all("Accept", []))
        encoding = ",".join(self.headers.get_all("Accept-Encoding", []))
        return self.server.content.answer(Request(path, query, accept, encoding))

    def _stranger(self, path: str) -> Answer:
        if path in PROBES:
            return self.server.content.answer(Request(path, permitted=False))
        if "Authorization" in self.headers:
            log.warning("HTTP: a wrong token from %s", self.client_address[0])
        return text(HTTPStatus.UNAUTHORIZED, "a token is needed", *_ASK)

    def _send(self, answer: Answer, *, with_body: bool = True) -> None:
        self.send_response_only(answer.status)
        self.send_header("Date", self.date_time_string())
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        said = {name for name, _ in answer.headers}
        usual = (each for each in _HEADERS if each[0] not in said)
        for name, value in (*answer.headers, ("Content-Security-Policy", answer.policy), *usual):
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """The library calls this for requests it cannot parse; its page would repeat what the client sent."""
        del message, explain
        status = HTTPStatus(code)
        self._send(text(status, status.phrase))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """A scrape every few seconds is no news."""
