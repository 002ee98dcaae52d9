"""The HTTP listener behind TLS, with certificates of the shipped script."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgenode.delivery.link_options import tls_context
from edgenode.errors import ConfigurationError, LinkError
from edgenode.settings import MqttSettings
from edgenode.telemetry.health import Health
from edgenode.telemetry.http import HttpServer
from edgenode.telemetry.http_access import Access
from edgenode.telemetry.metrics import Metrics
from tests.servers.certificates import Authority, Identity, self_signed
from tests.system.daemon import eventually

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("http") / "authority")
    authority.server("localhost", "127.0.0.1")
    authority.client("prometheus")
    return authority


@pytest.fixture
def server(authority: Authority) -> Iterator[HttpServer]:
    """It wants a certificate of the client's."""
    mine = authority.identity("server-localhost")
    access = Access(None, mine.cert_file, mine.key_file, authority.ca_file)
    server = HttpServer(("127.0.0.1", 0), Metrics(), Health(), dict, access)
    server.start()
    yield server
    assert server.stop(PATIENCE_S)
    assert not [thread for thread in threading.enumerate() if thread.name == "http"]


def ask(server: HttpServer, authority: Authority, identity: Identity | None, path: str = "/metrics") -> int:
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    if identity is not None:
        context.load_cert_chain(identity.cert_file, identity.key_file)
    connection = http.client.HTTPSConnection(
        "localhost", server.address[1], timeout=PATIENCE_S, context=context
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.read()
        return answer.status
    finally:
        connection.close()


def answered(server: HttpServer, authority: Authority) -> bool:
    try:
        return ask(server, authority, None) == 200
    except (OSError, http.client.HTTPException, AssertionError):  # cut before it had said all
        return False


def test_a_client_with_a_certificate_is_answered(server: HttpServer, authority: Authority) -> None:
    for path in ("/metrics", "/", "/status.json", "/healthz"):
        assert ask(server, authority, authority.identity("prometheus"), path) == 200


@pytest.mark.parametrize("who", ["nobody", "self-signed", "another authority's", "a server's"])
def test_a_client_without_a_right_one_is_not(
    server: HttpServer, authority: Authority, tmp_path: Path, who: str
) -> None:
    made = {
        "nobody": lambda: None,
        "self-signed": lambda: self_signed(tmp_path, "prometheus"),
        "another authority's": lambda: Authority(tmp_path / "other").client("prometheus"),
        "a server's": lambda: authority.identity("server-localhost"),
    }[who]()
    for path in ("/metrics", "/healthz"):
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(server, authority, made, path)


@pytest.mark.parametrize(
    "said", [b"GET /metrics HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 9000]
)
def test_who_speaks_no_tls_learns_nothing_and_harms_nothing(
    server: HttpServer, authority: Authority, said: bytes
) -> None:
    with socket.create_connection(server.address, timeout=PATIENCE_S) as plain:
        plain.sendall(said)
        answer = b""
        try:
            while more := plain.recv(4096):
                answer += more
        except ConnectionError:
            pass
    assert b"HTTP" not in answer
    assert b"edgenode" not in answer
    assert ask(server, authority, authority.identity("prometheus")) == 200


@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_1_1_is_not_spoken(server: HttpServer, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(server.address, timeout=PATIENCE_S) as plain,
        pytest.raises(OSError),  # noqa: PT011 - an alert or a closed connection
    ):
        context.wrap_socket(plain, server_hostname="localhost")


def test_clients_that_open_and_stay_silent_hold_up_nobody_for_long(authority: Authority) -> None:
    mine = authority.identity("server-localhost")
    access = Access(None, mine.cert_file, mine.key_file)
    server = HttpServer(("127.0.0.1", 0), Metrics(), Health(), dict, access, request_limit_s=2.0)
    server.start()
    silent = [socket.create_connection(server.address, timeout=PATIENCE_S) for _ in range(8)]
    try:
        assert all(each.recv(1) == b"" for each in silent), "they are cut"
        # a thread may still be ending when its connection is cut already
        eventually(lambda: answered(server, authority), "somebody else is answered")
    finally:
        for each in silent:
            each.close()
        assert server.stop(PATIENCE_S)


def test_a_renewed_certificate_is_shown_at_once(authority: Authority) -> None:
    authority.server("renewed.plant", "localhost")
    mine = authority.identity("server-renewed.plant")
    server = HttpServer(
        ("127.0.0.1", 0), Metrics(), Health(), dict, Access(None, mine.cert_file, mine.key_file)
    )
    server.start()
    try:
        before = ssl.get_server_certificate(server.address, timeout=PATIENCE_S)
        authority.run("renew", "server-renewed.plant")
        assert ssl.get_server_certificate(server.address, timeout=PATIENCE_S) != before
        mine.cert_file.write_text("torn")
        with pytest.raises(OSError):  # noqa: PT011 - no TLS at all, and no plain HTTP either
            ssl.get_server_certificate(server.address, timeout=PATIENCE_S)
    finally:
        assert server.stop(PATIENCE_S)


def test_a_key_with_a_passphrase_is_an_error_and_no_question(authority: Authority, tmp_path: Path) -> None:
    mine = authority.identity("server-localhost")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-in", str(mine.key_file), "-aes128", "-passout", "pass:x", "-out", str(locked)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="key_file"):
        Access(None, mine.cert_file, locked).prove()
    with pytest.raises(LinkError, match="key_file"):
        tls_context(MqttSettings(ca_file=authority.ca_file, cert_file=mine.cert_file, key_file=locked))
