"""A camera over HTTP in threads: MJPEG streams and still pictures, well and badly behaved."""

from __future__ import annotations

import base64
import hashlib
import http.server
import socket
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Behaviour:
    """What the camera does; may be changed while it runs."""

    pictures: list[bytes]
    """Stills: the one at `at`. MJPEG: all, again and again."""
    fps: float = 50.0
    boundary: str = "frame"
    dashes_in_header: bool = False
    content_length: bool = True
    newline: bytes = b"\r\n"
    frames: int = 0
    """Of an MJPEG stream before the camera closes it; 0 goes on for ever."""
    etag: bool = False
    auth: str = ""
    """"", "basic" or "digest"; user `viewer`, password `p:w/d`."""
    status: int = 200
    content_type: str = "image/jpeg"
    at: int = 0
    location: str = ""
    """Where `/moved` sends those who ask for it."""
    stall: threading.Event = field(default_factory=threading.Event)
    """Set: the stream stops, the connection stays."""
    sent_at_s: dict[int, float] = field(default_factory=dict)
    """Place in `pictures` to the monotonic instant at which a stream last gave it away."""
    requests: list[tuple[str, int]] = field(default_factory=list)
    """Path and status of every answer."""


class HttpCamera:
    """Serves `/stream` and `/still` on loopback from `__enter__` to `__exit__`."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._closing = threading.Event()
        self._sockets: list[socket.socket] = []
        camera = self

        class Handler(_Handler):
            behaviour = camera.behaviour
            closing = camera._closing
            sockets = camera._sockets

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = False
            block_on_close = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that goes away is no error of the server's."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="http-camera"
        )
        self.port: int = self._server.server_address[1]

    def url(self, path: str, credentials: str = "") -> str:
        at = f"{credentials}@" if credentials else ""
        return f"http://{at}127.0.0.1:{self.port}/{path}"

    def drop_connections(self) -> None:
        """Cut every open connection, as a camera that reboots."""
        for connection in list(self._sockets):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def __enter__(self) -> HttpCamera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self.drop_connections()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    behaviour: Behaviour
    closing: threading.Event
    sockets: list[socket.socket]

    def setup(self) -> None:
        super().setup()
        self.sockets.append(self.connection)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        if not self._authorised():
            return
        if self.behaviour.status != 200:
            self._answer(self.behaviour.status, {}, b"")
        elif self.path.startswith("/stream"):
            self._stream()
        elif self.path.startswith("/still"):
            self._still()
        elif self.path == "/moved":
            self._answer(302, {"Location": self.behaviour.location}, b"")
        else:
            self._answer(404, {}, b"")

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.behaviour.requests.append((self.path, status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _still(self) -> None:
        body = self.behaviour.pictures[self.behaviour.at]
        headers = {"Content-Type": self.behaviour.content_type}
        if self.behaviour.etag:
            headers["ETag"] = tag = f'"{hashlib.sha256(body).hexdigest()}"'
            if self.headers.get("If-None-Match") == tag:
                self._answer(304, {}, b"")
                return
        self._answer(200, headers, body)

    def _stream(self) -> None:
        behaviour = self.behaviour
        behaviour.requests.append((self.path, 200))
        dashes = "--" if behaviour.dashes_in_header else ""
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={dashes}{behaviour.boundary}")
        self.end_headers()
        sent = 0
        while not self.closing.is_set():
            if behaviour.stall.is_set():
                self.closing.wait(0.05)
                continue
            place = sent % len(behaviour.pictures)
            body = behaviour.pictures[place]
            behaviour.sent_at_s[place] = time.monotonic()
            self.wfile.write(self._part(body))
            sent += 1
            if behaviour.frames and sent == behaviour.frames:
                return
            self.closing.wait(1.0 / behaviour.fps)

    def _part(self, body: bytes) -> bytes:
        newline = self.behaviour.newline
        lines = [b"--" + self.behaviour.boundary.encode(), b"Content-Type: image/jpeg"]
        if self.behaviour.content_length:
            lines.append(b"Content-Length: %d" % len(body))
        return newline.join([*lines, b"", b""]) + body + newline

    def _authorised(self) -> bool:
        kind = self.behaviour.auth
        given = self.headers.get("Authorization", "")
        if not kind or (kind == "basic" and given == f"Basic {base64.b64encode(b'viewer:p:w/d').decode()}"):
            return True
        if kind == "digest" and given.startswith("Digest "):
            parts = dict(item.strip().split("=", 1) for item in given.removeprefix("Digest ").split(","))
            values = {key: value.strip('"') for key, value in parts.items()}
            ha1, ha2 = _md5("viewer:cam:p:w/d"), _md5(f"GET:{self.path}")
            qop = [values["nc"], values["cnonce"], values["qop"]] if "qop" in values else []
            if values["response"] == _md5(":".join([ha1, "n0nce", *qop, ha2])):
                return True
        challenge = (
            'Basic realm="cam"' if kind == "basic" else 'Digest realm="cam", nonce="n0nce", qop="auth"'
        )
        self._answer(401, {"WWW-Authenticate": challenge}, b"")
        return False


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
