"""What `model_install` fetches: from permitted places, under limits, whole, or not at all."""

from __future__ import annotations

import hashlib
import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgenode.errors import ModelError
from edgenode.rollout.fetch import Wanted, fetched
from edgenode.settings import RolloutSettings

CONTENT = b"a model" * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert, secret


class Server:
    """HTTPS on a free loopback port; answers by path."""

    def __init__(self, folder: Path) -> None:
        self.cert, key = certificate(folder)
        self.answers: dict[str, Answer] = {}
        answers = self.answers

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answers[self.path.split("?")[0]](self)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                pass  # clients that give up in the middle are what is tested

        self.server = Quiet(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def url(self, path: str) -> str:
        return f"https://{self.host}{path}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("https"))
    yield made
    made.close()


def gives(content: bytes, length: int | None = None) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content) if length is None else length))
        request.end_headers()
        request.wfile.write(content)

    return answer


def sends_to(where: str) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", where)
        request.end_headers()

    return answer


def endless(request: http.server.BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b"x" * 65536)


@contextmanager
def fetching(url: str, limits: RolloutSettings, folder: Path, sha256: str = SHA256) -> Iterator[Path]:
    with fetched(Wanted(url, sha256, folder / "models"), limits, folder, threading.Event()) as path:
        yield path


def permitted(server: Server, **more: object) -> RolloutSettings:
    return RolloutSettings.model_validate(
        {"download_from": [server.host], "ca_file": server.cert, "max_size": 10**6, **more}
    )


def test_a_file_comes_over_https_and_is_gone_afterwards(server: Server, tmp_path: Path) -> None:
    server.answers["/m.onnx"] = gives(CONTENT)
    server.answers["/moved"] = sends_to("/m.onnx?version=2")
    for path in ("/m.onnx", "/m.onnx?a=b", "/moved"):
        with fetching(server.url(path), permitted(server), tmp_path) as file:
            assert file.read_bytes() == CONTENT
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (gives(CONTENT[:-1]), "not the file you meant"),
        (gives(CONTENT, len(CONTENT) + 5), "cut short|cannot be fetched"),
        (gives(b"", 10**7), "over rollout.max_size"),
        (endless, "over rollout.max_size"),
        (lambda request: request.send_error(404), "answers 404"),
        (sends_to("http://127.0.0.1/m.onnx"), "https:// or file:// alone"),
        (sends_to("https://127.0.0.1:1/m.onnx"), "another place"),
        (sends_to("file:///etc/passwd"), "another place"),
        (sends_to("/m"), "leads on and on"),
        (lambda request: request.wfile.write(b"garbage\r\n\r\n"), "cannot be fetched"),
        (lambda request: None, "cannot be fetched"),
    ],
)
def test_what_is_not_right_is_refused_and_leaves_nothing(
    server: Server, tmp_path: Path, answer: Answer, reason: str
) -> None:
    server.answers["/m"] = answer
    with pytest.raises(ModelError, match=reason), fetching(server.url("/m"), permitted(server), tmp_path):
        pass
    assert list((tmp_path / "models").iterdir()) == []


def test_time_is_limited_and_a_stop_is_heard(server: Server, tmp_path: Path) -> None:
    server.answers["/m"] = endless
    limits = permitted(server, max_size=2**40, timeout=0.05)
    with (
        pytest.raises(ModelError, match=r"not here within 0\.05 s"),
        fetching(server.url("/m"), limits, tmp_path),
    ):
        pass
    stopped = threading.Event()
    stopped.set()
    wanted = Wanted(server.url("/m"), SHA256, tmp_path / "models")
    with pytest.raises(ModelError, match="the node is stopping"), fetched(wanted, limits, tmp_path, stopped):
        pass


def test_only_permitted_hosts_with_a_certificate_of_the_permitted_authority(
    server: Server, tmp_path: Path
) -> None:
    server.answers["/m"] = gives(CONTENT)
    url = server.url("/m")
    for limits, reason in (
        (RolloutSettings(), "models may come from nowhere"),
        (RolloutSettings(download_from=["models.plant.local"]), "models may come from models.plant.local"),
        (RolloutSettings(download_from=[server.host]), "cannot be fetched"),
        (RolloutSettings(download_from=["127.0.0.1:1"]), "models may come from 127.0.0.1:1"),
    ):
        with pytest.raises(ModelError, match=reason), fetching(url, limits, tmp_path):
            pass
    refused = permitted(server, download_from=["127.0.0.1:1"])
    with (
        pytest.raises(ModelError, match="cannot be fetched"),
        fetching("https://127.0.0.1:1/m", refused, tmp_path),
    ):
        pass


def test_files_come_from_the_one_folder_alone(tmp_path: Path) -> None:
    folder = tmp_path / "incoming"
    folder.mkdir()
    (folder / "m.onnx").write_bytes(CONTENT)
    outside = tmp_path / "outside.onnx"
    outside.write_bytes(CONTENT)
    (folder / "link.onnx").symlink_to(outside)
    (folder / "folder").mkdir()
    limits = RolloutSettings(incoming=Path("incoming"), max_size=10**6)
    with fetching((folder / "m.onnx").as_uri(), limits, tmp_path) as file:
        assert file.read_bytes() == CONTENT
    bad = [
        outside.as_uri(),
        (folder / "link.onnx").as_uri(),
        f"{folder.as_uri()}/../outside.onnx",
        f"{folder.as_uri()}/%2e%2e/outside.onnx",
        f"{folder.as_uri()}/%00",
        "file:///dev/zero",
        "file://elsewhere/m.onnx",
        (folder / "folder").as_uri(),
        (folder / "missing").as_uri(),
        "ftp://127.0.0.1/m",
        "https://user:secret@127.0.0.1/m",
        "https://[::1",
        "",
    ]
    for url in bad:
        with pytest.raises(ModelError) as caught, fetching(url, limits, tmp_path):
            pass
        assert "secret" not in str(caught.value)
    url = (folder / "m.onnx").as_uri()
    small = limits.model_copy(update={"max_size": 1000})
    for wrong, reason in ((RolloutSettings(), "incoming is not set"), (small, "over rollout")):
        with pytest.raises(ModelError, match=reason), fetching(url, wrong, tmp_path):
            pass


def test_a_folder_that_cannot_be_made_is_told_as_the_models_error(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "m.onnx").write_bytes(CONTENT)
    (tmp_path / "models").write_text("a file stands there")
    wanted = Wanted((tmp_path / "in" / "m.onnx").as_uri(), SHA256, tmp_path / "models")
    limits = RolloutSettings(incoming=tmp_path / "in")
    with (
        pytest.raises(ModelError, match="cannot be fetched: File exists"),
        fetched(wanted, limits, tmp_path, threading.Event()),
    ):
        pass
