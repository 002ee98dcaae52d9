"""Who gets past the broker of `mosquitto/gateway.conf` and its access list, and how far; and whom a node trusts.

One broker for all of it; certificates of the shipped script.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from edgenode.delivery.link_options import tls_context
from edgenode.settings import MqttSettings
from tests.servers.certificates import SCRIPT
from tests.system.delivery.broker_stage import BASE, V5, V311, Stage
from tests.system.delivery.stage import PATIENCE_S, Tally, end, event, publisher, wait_for

# paho leaves the socket of a failed handshake to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("no_socket_left"),
]


@pytest.mark.parametrize("protocol", [V5, V311], ids=["5", "3.1.1"])
@pytest.mark.parametrize(
    ("who", "login"),
    [
        (None, {}),
        (None, {"plain": "yes"}),
        (None, {"username": "gateway-7", "password": "guess"}),
        ("self-signed", {}),
        ("another authority's", {}),
        ("expired", {}),
        ("revoked", {}),
        ("server", {}),
        ("gateway-7", {"client_id": ""}),
    ],
    ids=["no certificate", "no TLS", "a password only", "self-signed", "another authority's", "expired", "revoked",
         "a server's", "no client id"],
)  # fmt: skip
def test_who_is_not_let_in(
    stage: Stage, who: str | None, login: dict[str, str], protocol: MQTTProtocolVersion
) -> None:
    visitor = stage.visitor(who, protocol, **login)
    assert visitor.accepted is False
    visitor.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_is_1_2_at_least(stage: Stage, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(stage.authority.ca_file))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    me = stage.people["gateway-7"]
    context.load_cert_chain(me.cert_file, me.key_file)
    with socket.create_connection(("127.0.0.1", stage.broker.port), timeout=PATIENCE_S) as plain:
        if version == ssl.TLSVersion.TLSv1_1:
            with pytest.raises(OSError):  # noqa: PT011 - an alert or a closed connection
                context.wrap_socket(plain, server_hostname="localhost")
        else:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                assert secure.version() in ("TLSv1.2", "TLSv1.3")


def test_a_packet_over_the_limit_ends_the_connection(stage: Stage) -> None:
    node = stage.visitor("gateway-7")
    assert node.publish(f"{BASE}/gateway-7/large", b"x" * 2_000_000) == "the connection ended"
    assert node.accepted is False
    node.close()


def heard_by(context: ssl.SSLContext, plain: socket.socket) -> bytes:
    """What a client says to a server of `context`; nothing where it goes away before or after the handshake."""
    with plain:
        try:
            with context.wrap_socket(plain, server_side=True) as secure:
                return secure.recv(100)
        except OSError:
            return b""


@pytest.mark.parametrize(
    "what", ["another name", "expired", "a node's own certificate", "another authority's"]
)
def test_a_node_trusts_no_other_broker(stage: Stage, tmp_path: Path, what: str) -> None:
    """Each one holds a key and a certificate that is right but for one thing; the node sends it no password."""
    authority = stage.other if what == "another authority's" else stage.authority
    if what == "a node's own certificate":
        fake = stage.people["gateway-8"]
    else:
        host = {
            "another name": "other.plant.local",
            "expired": "broker-x",
            "another authority's": "127.0.0.1",
        }[what]
        fake = authority.server(host, *(["127.0.0.1"] if what != "another name" else []))
        if what == "expired":
            fake = authority.expired("server-broker-x")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(fake.cert_file, fake.key_file)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_S)
        me = stage.people["gateway-7"]
        node = publisher(
            listening.getsockname()[1], tmp_path, Tally(), ca_file=stage.authority.ca_file, cert_file=me.cert_file,
            key_file=me.key_file,
        )  # fmt: skip
        node.start()
        plain, _ = listening.accept()
        plain.settimeout(PATIENCE_S)
        assert heard_by(context, plain) == b""
        wait_for(lambda: "certificate is not trusted" in node.status().reason, "the reason is said")
        end(node, 0.1)


def test_a_node_speaks_no_older_tls_and_checks_whom_it_speaks_to(stage: Stage) -> None:
    """OpenSSL's own defaults may refuse TLS 1.1 already; the node does not rely on them."""
    context = tls_context(MqttSettings(host="localhost", ca_file=stage.authority.ca_file))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


def test_the_script_overwrites_nothing_and_keeps_its_secrets(stage: Stage) -> None:
    folder = stage.authority.folder
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for arguments in (["ca"], ["node", "gateway-7"], ["server", "localhost"], ["client", "dashboard"]):
        done = stage.authority.run(*arguments, check=False)
        assert done.returncode != 0
        assert "nothing is overwritten" in done.stderr
    for name in ("Gateway", "../x", "a b", "-x", "", "x" * 64, "ca", "server-x", "a;id", "$(id)", "a\nb"):
        assert stage.authority.run("node", name, check=False).returncode != 0
    for host in ("a_b", "*.plant", "a,b", "DNS:x", "a b", "10.0.0.1\n"):
        assert stage.authority.run("server", host, check=False).returncode != 0
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert folder.stat().st_mode & 0o777 == 0o700
    keys = list(folder.glob("*.key"))
    assert len(keys) > 5
    assert {path.stat().st_mode & 0o777 for path in keys if path.name != "server.key"} == {0o600}


def test_a_renewed_certificate_serves_and_the_register_says_so(stage: Stage) -> None:
    first = (stage.authority.folder / "gateway-8.crt").read_bytes()
    stage.authority.run("renew", "gateway-8", DAYS="20")
    assert (stage.authority.folder / "gateway-8.crt").read_bytes() != first
    visitor = stage.visitor("gateway-8")
    assert visitor.accepted
    visitor.close()
    register = {line.split()[0]: line for line in stage.authority.run("list").stdout.splitlines()}
    assert "renew now" in register["gateway-8"]
    assert "revoked" in register["gateway-9"]
    assert "expired" in register["gateway-6"]
    assert "good" in register["dashboard"]


def test_the_script_is_one_that_bash_understands() -> None:
    assert subprocess.run(["bash", "-n", str(SCRIPT)]).returncode == 0
    done = subprocess.run([str(SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "FOLDER revoke" in done.stderr


def test_what_was_published_still_arrives_through_all_of_it(stage: Stage, tmp_path: Path) -> None:
    me = stage.people["gateway-7"]
    reader = stage.visitor("dashboard")
    reader.listen("edgenode/v1/gateway-7/events/#")
    node = publisher(
        stage.broker.port,
        tmp_path,
        Tally(),
        ca_file=stage.authority.ca_file,
        cert_file=me.cert_file,
        key_file=me.key_file,
    )
    node.start()
    node.publish_event(event(1), None)
    reader.until(lambda: "edgenode/v1/gateway-7/events/defective_part" in reader.heard)
    end(node)
    reader.close()
