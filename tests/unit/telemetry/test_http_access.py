"""Who is answered over HTTP: the token. TLS is tested with real certificates in tests/system."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgenode.errors import ConfigurationError
from edgenode.telemetry.health import Health
from edgenode.telemetry.http import HttpServer
from edgenode.telemetry.http_access import Access, read_token
from edgenode.telemetry.metrics import Metrics

TOKEN = "c4nary-token-0123456789"
PATHS = ("/", "/metrics", "/status.json", "/nothing", "/healthz/", "//metrics")


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
def server(token_file: Path) -> Iterator[HttpServer]:
    health = Health()
    health.condition("broker", False, "broker.plant.local cannot be reached")
    server = HttpServer(
        ("127.0.0.1", 0), Metrics(), health, lambda: {"node": "gateway-7"}, Access(token_file)
    )
    server.start()
    yield server
    assert server.stop(60.0)


def ask(
    server: HttpServer, path: str, authorization: str | None = None
) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    try:
        connection.request("GET", path, headers={"Authorization": authorization} if authorization else {})
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "authorization",
    [
        None, "Bearer", "Bearer ", "Bearer wrong-token-0123456789", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
        TOKEN, f"Token {TOKEN}", basic(TOKEN, ""), basic("x", "wrong"), "Basic !!!", "Basic " + "A" * 9,
    ],
)  # fmt: skip
def test_without_the_token_only_yes_or_no_is_told(server: HttpServer, authorization: str | None) -> None:
    for path in PATHS:
        response, body = ask(server, path, authorization)
        assert response.status == 401
        assert response.headers.get_all("WWW-Authenticate")
        assert body == "a token is needed\n"
    response, body = ask(server, "/healthz", authorization)
    assert (response.status, json.loads(body)) == (200, {"status": "degraded"})
    assert "reasons" not in json.loads(ask(server, "/readyz", authorization)[1])


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", basic("anybody", TOKEN)])
def test_with_the_token_everything_is_told(server: HttpServer, authorization: str) -> None:
    assert "edgenode_build_info" in ask(server, "/metrics", authorization)[1]
    assert "broker.plant.local" in ask(server, "/healthz", authorization)[1]
    assert ask(server, "/nothing", authorization)[0].status == 404


def test_a_token_that_was_replaced_holds_at_once_and_one_that_is_gone_lets_nobody_in(
    server: HttpServer, token_file: Path
) -> None:
    token_file.write_text("another-token-0123456789")
    assert ask(server, "/metrics", f"Bearer {TOKEN}")[0].status == 401
    assert ask(server, "/metrics", "Bearer another-token-0123456789")[0].status == 200
    token_file.unlink()
    assert ask(server, "/metrics", "Bearer another-token-0123456789")[0].status == 500
    token_file.write_text("")
    assert ask(server, "/metrics", "Bearer ")[0].status == 500


@given(st.text(max_size=60))
def test_no_other_header_is_the_token(tmp_path_factory: pytest.TempPathFactory, header: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fixed-token"
    path.write_text(TOKEN)
    assert not Access(path).permits(header)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"fifteen-letters", b"with a space in it", b"\xff" * 20, b"x" * 5000]
)
def test_what_is_no_good_secret_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="16 to 4096") as caught:
        read_token(path)
    assert not content.strip() or content.decode("latin-1") not in str(caught.value)


@pytest.mark.parametrize(
    "access", [Access(Path("/nowhere/token")), Access(None, Path("/no.crt"), Path("/no.key"))]
)
def test_a_file_that_cannot_be_used_is_one_clear_error_at_start(access: Access) -> None:
    server = HttpServer(("127.0.0.1", 0), Metrics(), Health(), dict, access)
    with pytest.raises(ConfigurationError, match="http\\."):
        server.start()


PIECES = [
    b"GET ", b"HEAD ", b"POST ", b"/", b"/metrics", b"/status.json", b"//", b"?", b"%00", b"\x00", b" HTTP/1.1",
    b" HTTP/0.9", b"\r\n", b"\n", b"Host: x", b"Authorization: Bearer ", b"Authorization: Basic Og==", b":",
    b" ", b"\xff" * 9, b"Content-Length: -1", b"Transfer-Encoding: chunked", b"x" * 1000, b"A: b\r\n" * 110,
]  # fmt: skip
requests = st.one_of(st.binary(max_size=300), st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests)
def test_whatever_bytes_a_stranger_sends_tell_nothing(server: HttpServer, said: bytes) -> None:
    tells_nothing(server, said)


@pytest.mark.parametrize(
    "said",
    [
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * 1_000_000 + b"\r\n\r\n", b"\r\n" * 100_000, b"\x00" * 200_000,
    ],
    ids=["path", "headers", "header", "empty lines", "zeros"],
)  # fmt: skip
def test_however_much_a_stranger_sends_tells_nothing(server: HttpServer, said: bytes) -> None:
    tells_nothing(server, said)


def tells_nothing(server: HttpServer, said: bytes) -> None:
    answer = b""
    with socket.create_connection(server.address, timeout=60) as client:
        try:
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            while more := client.recv(65536):
                answer += more
        except TimeoutError:
            raise
        except OSError:  # it was cut, at whichever of these
            answer += b""
    assert b"gateway-7" not in answer
    assert b"edgenode_" not in answer
    assert b"plant.local" not in answer
    assert b"Traceback" not in answer
    assert ask(server, "/healthz")[0].status == 200
