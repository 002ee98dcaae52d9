"""The listener, asked over real sockets."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from edgenode.clock import ManualClock
from edgenode.errors import ConfigurationError
from edgenode.records import JsonObject
from edgenode.telemetry.health import Health
from edgenode.telemetry.http import MAX_CONNECTIONS, MAX_FROM_ONE, HttpServer, _BoundedServer
from edgenode.telemetry.http_access import Access
from edgenode.telemetry.metrics import Metrics


@dataclass
class Node:
    clock: ManualClock = field(default_factory=ManualClock)
    metrics: Metrics = field(default_factory=Metrics)
    status: JsonObject = field(default_factory=lambda: {"node": "gateway-7", "cameras": []})
    access: Access = field(default_factory=Access)

    def __post_init__(self) -> None:
        self.health = Health(self.clock)
        self.server = HttpServer(
            ("127.0.0.1", 0), self.metrics, self.health, lambda: self.status, self.access
        )

    def ask(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(*self.server.address, timeout=60)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    node.server.start()
    yield node
    assert node.server.stop(60.0)
    assert not [thread for thread in threading.enumerate() if thread.name == "http"]


def test_port_0_takes_a_free_port_and_says_which(node: Node) -> None:
    assert node.server.address[0] == "127.0.0.1"
    assert node.server.address[1] > 0


def test_metrics_come_as_prometheus_text(node: Node) -> None:
    node.metrics.frame_decoded("line_1")
    response, body = node.ask("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b'edgenode_frames_total{camera="line_1"} 1.0' in body


def test_metrics_come_as_openmetrics_when_asked(node: Node) -> None:
    response, body = node.ask("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_an_accept_header_of_nonsense_gets_the_plain_format(node: Node) -> None:
    response, _ = node.ask(
        "/metrics", headers={"Accept": "text/plain;version=x.y, application/openmetrics-text;version=q"}
    )
    assert response.status == 200


@pytest.mark.parametrize(("header", "gzipped"), [("gzip, deflate", True), ("gzip;q=0", False), ("br", False)])
def test_gzip_only_when_accepted(node: Node, header: str, gzipped: bool) -> None:
    response, body = node.ask("/metrics", headers={"Accept-Encoding": header})
    assert (response.headers["Content-Encoding"] == "gzip") is gzipped
    assert b"edgenode_build_info" in (gzip.decompress(body) if gzipped else body)


def test_healthz_fails_when_a_watched_thread_stops_and_recovers(node: Node) -> None:
    last = [0.0]
    node.health.watch("infer-defects", lambda: last[0], limit_s=10.0)
    assert node.ask("/healthz")[0].status == 200
    node.clock.set(10.5)
    response, body = node.ask("/healthz")
    assert response.status == 503
    assert json.loads(body) == {
        "status": "failed",
        "reasons": ["infer-defects: no progress for 10 s (limit 10 s)"],
    }
    last[0] = 10.0
    assert node.ask("/healthz")[0].status == 200


def test_readyz_waits_for_every_required_condition(node: Node) -> None:
    node.health.require("models", "outbox")
    node.health.condition("models", True)
    response, body = node.ask("/readyz")
    assert (response.status, json.loads(body)["reasons"]) == (503, ["outbox: not yet"])
    node.health.condition("outbox", True)
    assert node.ask("/readyz")[0].status == 200


def test_a_broker_that_is_away_degrades_but_does_not_fail_the_health_check(node: Node) -> None:
    node.health.condition("mqtt", False, "connection refused")
    response, body = node.ask("/healthz")
    assert response.status == 200
    assert json.loads(body)["status"] == "degraded"


def test_the_status_page_escapes_what_cameras_and_brokers_say(node: Node) -> None:
    node.status = {"cameras": [{"name": "line_1", "reason": "<script>alert(1)</script>"}]}
    response, body = node.ask("/status")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"<script>" not in body
    assert b"&lt;script&gt;" in body
    assert json.loads(node.ask("/status.json")[1])["cameras"] == node.status["cameras"]


def test_a_head_request_gets_the_headers_alone(node: Node) -> None:
    response, body = node.ask("/healthz", method="HEAD")
    assert (response.status, body) == (200, b"")
    assert int(response.headers["Content-Length"]) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_not_allowed(node: Node, method: str) -> None:
    response, _ = node.ask("/metrics", method=method)
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/../etc/passwd", "/%2e%2e/x"])
def test_other_paths_are_not_found_and_not_repeated(node: Node, path: str) -> None:
    response, body = node.ask(path)
    assert response.status == 404
    assert path.encode() not in body.replace(b"/metrics ", b"")


@pytest.mark.parametrize("path", ["/", "/app.js", "/status", "/metrics", "/healthz", "/nothing"])
def test_every_answer_has_the_security_headers_and_names_no_server(node: Node, path: str) -> None:
    headers = node.ask(path)[0].headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Server"] is None


def test_a_request_that_cannot_be_parsed_is_refused_without_an_echo(node: Node) -> None:
    with socket.create_connection(node.server.address, timeout=60) as client:
        client.sendall(b"<script> /metrics HTTP/banana\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.0 400 ")
    assert b"script" not in answer


def test_a_path_over_2_kb_is_refused(node: Node) -> None:
    assert node.ask("/" + "a" * 3000)[0].status == 414


def silent(node: Node, source: str, count: int) -> list[socket.socket]:
    """Connections from `source` that say nothing."""
    return [
        socket.create_connection(node.server.address, timeout=20, source_address=(source, 0))
        for _ in range(count)
    ]


def test_connections_beyond_the_limit_are_told_to_come_back_one_address_sooner_than_all(node: Node) -> None:
    def told(source: str) -> bytes:
        with socket.create_connection(node.server.address, timeout=20, source_address=(source, 0)) as client:
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: client.recv(4096), b""))

    clients = silent(node, "127.0.0.2", MAX_FROM_ONE)
    try:
        assert told("127.0.0.2").startswith(b"HTTP/1.0 503 ")
        assert told("127.0.0.3").startswith(b"HTTP/1.0 200 ")
        clients += silent(node, "127.0.0.4", MAX_CONNECTIONS - MAX_FROM_ONE)
        # a thread that has answered may still be ending; when it has, the silent ones hold every place
        assert any(told("127.0.0.5").startswith(b"HTTP/1.0 503 ") for _ in range(100))
    finally:
        for client in clients:
            client.close()


def test_stop_does_not_wait_for_a_silent_client() -> None:
    node = Node()
    node.server.start()
    with socket.create_connection(node.server.address, timeout=60):
        assert node.ask("/healthz")[0].status == 200
        assert node.server.stop(60.0)


def test_a_client_that_sends_too_slowly_is_cut_off() -> None:
    server = HttpServer(("127.0.0.1", 0), Metrics(), Health(), dict, request_limit_s=0.1)
    server.start()
    try:
        with socket.create_connection(server.address, timeout=60) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
            assert client.recv(1) == b""
    finally:
        assert server.stop(60.0)


def test_a_port_in_use_is_one_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = HttpServer(("127.0.0.1", port), Metrics(), Health(), dict)
        with pytest.raises(
            ConfigurationError, match=f"http.listen: cannot listen on 127.0.0.1:{port}: Address"
        ):
            server.start()


def test_a_page_that_fails_is_500_and_the_listener_lives(caplog: pytest.LogCaptureFixture) -> None:
    def page() -> JsonObject:
        raise RuntimeError("broken")

    server = HttpServer(("127.0.0.1", 0), Metrics(), Health(), page)
    server.start()
    try:
        for path, status in (("/status", 500), ("/healthz", 200)):
            connection = http.client.HTTPConnection(*server.address, timeout=60)
            connection.request("GET", path)
            assert connection.getresponse().status == status
            connection.close()
    finally:
        assert server.stop(60.0)
    assert "answering GET /status failed" in caplog.text


def test_stop_waits_for_a_thread_whose_request_is_already_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a request's thread, made long enough to be seen."""
    over, may_end = threading.Event(), threading.Event()
    real = _BoundedServer.shutdown_request

    def slow(server: _BoundedServer, request: object) -> None:
        real(server, request)  # type: ignore[arg-type]
        over.set()
        may_end.wait(60.0)

    monkeypatch.setattr(_BoundedServer, "shutdown_request", slow)
    node = Node()
    node.server.start()
    node.ask("/healthz")
    assert over.wait(60.0)
    ended = node.server.stop(0.1)
    running = [thread for thread in threading.enumerate() if thread.name == "http"]
    may_end.set()
    for thread in running:
        thread.join(60.0)
    assert running
    assert not ended, "it said that every thread had ended"
