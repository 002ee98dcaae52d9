"""A page for one person on this machine: loopback only, opened once by the link on the terminal.

The link carries a token that works once; the browser that used it has a cookie from then on. Requests must name
a loopback host (a page on the network that resolves to 127.0.0.1 does not get in), and only JSON of the same
origin changes anything. Every answer forbids scripts, styles and pictures from elsewhere.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from edgenode.errors import EdgeNodeError
from edgenode.records import JsonObject

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1 << 20
_IDLE_S = 10.0
_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


@dataclass(frozen=True, slots=True)
class Reply:
    body: bytes
    content_type: str = "application/json"
    status: HTTPStatus = HTTPStatus.OK


class PageContent(Protocol):
    """What a page shows and does. Called on request threads, several at once. EdgeNodeError becomes a message."""

    def get(self, path: str) -> Reply | None:
        """The answer to GET `path`; None where there is no such thing."""
        ...

    def post(self, path: str, value: JsonObject) -> Reply | None:
        """The answer to POST `path` with the JSON object `value`."""
        ...


def json_reply(value: JsonObject, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    return Reply(json.dumps(value, ensure_ascii=False).encode(), status=status)


def static(name: str) -> Reply:
    """A file of `edgenode/pages/static`."""
    body = files("edgenode.pages").joinpath("static", name).read_bytes()
    return Reply(body, f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8")


class PageServer:
    """`start` listens and returns; `stop` ends every connection and thread.

    `page` names the HTML file at `/`; `assets` what else of `static` may be asked for. `told` is given a fresh
    link when the old one, already used, is tried again: to be shown where only the right person reads.
    """

    def __init__(
        self,
        page: str,
        assets: tuple[str, ...],
        content: PageContent,
        port: int = 0,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._site = _Site(page, frozenset(assets), content, told)
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def of_command(
        cls, name: str, content: PageContent, port: int, told: Callable[[str], None]
    ) -> PageServer:
        """The page `name`.html, with the script and the style of that name and those that all pages share."""
        return cls(f"{name}.html", (f"{name}.js", f"{name}.css", "base.js", "base.css"), content, port, told)

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("the page was not started")
        return int(self._server.server_address[1])

    @property
    def link(self) -> str:
        """Opens the page, once."""
        return self._site.link(self.port)

    def start(self) -> None:
        """Raises EdgeNodeError where the port is taken."""
        try:
            self._server = _Server(("127.0.0.1", self._port), self._site)
        except (OSError, OverflowError) as error:
            raise EdgeNodeError(
                f"cannot listen on 127.0.0.1:{self._port}: {error}; choose another --port"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="page", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.cut()
            self._server.server_close()
            self._server = self._thread = None


class _Site:
    def __init__(
        self, page: str, assets: frozenset[str], content: PageContent, told: Callable[[str], None]
    ) -> None:
        self.page = page
        self.assets = assets
        self.content = content
        self._told = told
        self._lock = threading.Lock()
        self._token = secrets.token_urlsafe(24)
        self._used = False
        self._sessions: set[str] = set()

    def link(self, port: int) -> str:
        return f"http://127.0.0.1:{port}/?token={self._token}"

    def enter(self, token: str, port: int) -> str | None:
        """The cookie for who shows the token for the first time, else None."""
        with self._lock:
            if not hmac.compare_digest(token.encode(), self._token.encode()):
                return None
            if self._used:
                self._token, self._used = secrets.token_urlsafe(24), False
                self._told(self.link(port))
                return None
            self._used = True
            session = secrets.token_urlsafe(24)
            self._sessions.add(session)
            return session

    def knows(self, session: str) -> bool:
        with self._lock:
            return any(hmac.compare_digest(session.encode(), each.encode()) for each in self._sessions)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # `server_close` waits for them
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], site: _Site) -> None:
        self.site = site
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer would look up the host's full name here, which can hang without a name server
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            with self._lock:
                self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        del request, client_address
        log.debug("a request for the page failed", exc_info=True)

    def cut(self) -> None:
        """End what is open: browsers keep connections for later that say nothing."""
        with self._lock:
            for request in self._open:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _IDLE_S
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if not self._from_here():
            return
        site = self.server.site
        token = parse_qs(url.query).get("token", [""])[0] if url.path == "/" else ""
        if token and not site.knows(self._session()):
            session = site.enter(token, self.server.server_port)
            if session is not None:
                cookie = f"{self._cookie}={session}; Path=/; HttpOnly; SameSite=Strict"
                self._send(static(site.page), (("Set-Cookie", cookie),))
                return
        if url.path == "/favicon.ico":  # every browser asks, and shows a fault where there is none
            self._send(Reply(b"", "image/x-icon", HTTPStatus.NO_CONTENT))
        elif not site.knows(self._session()):
            self._refuse(HTTPStatus.FORBIDDEN, "open the link that stands on the terminal; each works once")
        elif url.path == "/":
            self._send(static(site.page))
        elif url.path[1:] in site.assets:
            self._send(static(url.path[1:]))
        else:
            self._answer(lambda: site.content.get(url.path))

    def do_POST(self) -> None:
        if not self._from_here():
            return
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != self.headers.get("Host"):
            self._refuse(HTTPStatus.FORBIDDEN, "from another page")
        elif not self.server.site.knows(self._session()):
            self._refuse(HTTPStatus.FORBIDDEN, "open the link that stands on the terminal; each works once")
        elif self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "only JSON")
        else:
            value = self._body()
            if value is not None:
                self._answer(lambda: self.server.site.content.post(urlsplit(self.path).path, value))

    @property
    def _cookie(self) -> str:
        """Cookies know no ports: two pages must not take each other's."""
        return f"edgenode_{self.server.server_port}"

    def _session(self) -> str:
        for part in (self.headers.get("Cookie") or "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self._cookie:
                return value
        return ""

    def _from_here(self) -> bool:
        with contextlib.suppress(ValueError):
            if urlsplit(f"//{self.headers.get('Host', '')}").hostname in _HOSTS:
                return True
        self._refuse(HTTPStatus.FORBIDDEN, "only under a name of this machine: 127.0.0.1 or localhost")
        return False

    def _body(self) -> JsonObject | None:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too long")
            return None
        try:
            value = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            self._refuse(HTTPStatus.BAD_REQUEST, "no JSON object")
            return None
        return value

    def _answer(self, ask: Callable[[], Reply | None]) -> None:
        try:
            reply = ask()
        except EdgeNodeError as error:
            self._refuse(HTTPStatus.CONFLICT, str(error))
        except Exception:
            log.exception("answering the page failed")
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "an internal fault; see the terminal")
        else:
            if reply is None:
                self._refuse(HTTPStatus.NOT_FOUND, "there is no such thing")
            else:
                self._send(reply)

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self._send(json_reply({"error": text}, status))

    def _send(self, reply: Reply, more: tuple[tuple[str, str], ...] = ()) -> None:
        self.send_response_only(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Connection", "close")
        for name, value in more + _HEADERS:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """The terminal is for the person."""
