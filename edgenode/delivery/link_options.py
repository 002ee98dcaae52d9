"""How to reach the broker: everything a connection attempt needs, and the messages its failures deserve."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edgenode.errors import LinkError
from edgenode.records import Message
from edgenode.settings import MqttSettings

MAX_INCOMING_BYTES = 64 * 1024
"""What the broker is asked to send at most in one packet (MQTT 5): a command is 4 KiB at most."""
_MAX_PAYLOAD = 8 * 1024
_MAX_PROPERTY = 1024
TAKEN_OVER = 0x8E
QUICK_LOSSES = 5
"""So many in a row are no broker that restarts: three restarts within seconds were mistaken for two nodes."""


@dataclass(frozen=True, slots=True)
class LinkOptions:
    client_id: str
    mqtt: MqttSettings
    will: Message
    subscriptions: tuple[str, ...] = ()
    instance_topic: str = ""
    """Where lives of this name tell of each other (`Rivalry`); empty: they do not."""
    boot: str = ""
    """Which life this one is."""
    connect_timeout_s: float = 5.0
    """For TCP and TLS, and once more for the broker's CONNACK."""
    first_pause_s: float = 1.0
    longest_pause_s: float = 5.0
    """Between tries to reach a broker that is away: it is found again within 5 s of its return."""
    slow_pause_s: float = 20.0
    """At least this long between tries that are refused, or lost again and again: three a minute at most."""
    quick_loss_s: float = 8.0
    """A connection that the broker ends within this time counts towards the suspicion of two nodes with one name:
    the other one comes back after `longest_pause_s` at most."""
    max_inflight: int = 100
    """QoS 1 messages on their way; the broker's Receive Maximum may lower it. paho slows down beyond 100."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker accepted. `window` is how many QoS 1 messages may be on their way."""

    generation: int
    protocol: Literal["5", "3.1.1"]
    window: int
    max_packet_bytes: int | None


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection ended or did not come about. `lasting` failures will not heal by themselves."""

    generation: int
    reason: str
    lasting: bool = False
    was_connected: bool = False


@dataclass(frozen=True, slots=True)
class Rivalled:
    """Another client goes by this node's name."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker answered one QoS 1 message (or paho wrote one of QoS 0). 128 and above: it refused."""

    generation: int
    mid: int
    reason_code: int
    reason: str
    arrived_s: float
    """When (monotonic)."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message the broker sent to this node."""

    topic: str
    payload: bytes
    retain: bool
    qos: int
    response_topic: str | None = None
    correlation: bytes | None = None
    expiry_s: int | None = None


def received(message: paho.MQTTMessage) -> Received | None:
    """`message` in our words, on paho's thread; None for one that can be no command: its topics or properties are
    too large to be kept by the thousand. Of a payload only so much is kept that its excess shows."""
    properties = message.properties
    response = getattr(properties, "ResponseTopic", None)
    correlation = getattr(properties, "CorrelationData", None)
    try:
        topic = message.topic
    except UnicodeDecodeError:  # paho hands on what is not UTF-8
        return None
    if max(len(topic), len(response or ""), len(correlation or b"")) > _MAX_PROPERTY:
        return None
    return Received(
        topic=topic,
        payload=bytes(message.payload[:_MAX_PAYLOAD]),
        retain=bool(message.retain),
        qos=message.qos,
        response_topic=response,
        correlation=correlation,
        expiry_s=getattr(properties, "MessageExpiryInterval", None),
    )


LinkReport = Connected | Disconnected | Rivalled | Acknowledged | Received


@dataclass(slots=True)
class Suspicion:
    """Counts connections that the broker ends without a word soon after they were made, and is there all the time.

    That is how two nodes of one name look to each other: each new connection ends the other's. It is for brokers that
    give no reason (142) and let the node read nothing (`Rivalry`). A broker that restarts looks different: between two
    connections there are attempts that nobody answers. So does a poor network: there the silence ends the connection,
    or an error.
    """

    quick_loss_s: float
    losses: int = field(default=0)

    def lost(self, lived_s: float, code: int, closed: bool) -> bool:
        """After a connection was lost; says whether to go slowly. `code`: the broker's reason, 0 where it gave none;
        `closed`: it ended the connection, no error and no silence did."""
        if code == TAKEN_OVER:
            return True
        self.losses = self.losses + 1 if closed and code == 0 and lived_s < self.quick_loss_s else 0
        return self.losses >= QUICK_LOSSES

    def alone(self) -> None:
        """No second node: the broker was not there, or this one is known to have come last."""
        self.losses = 0


def read_password(mqtt: MqttSettings) -> str | None:
    """Raises LinkError: the file may be repaired while the node runs."""
    if mqtt.password is not None:
        return mqtt.password.get_secret_value()
    if mqtt.password_file is None:
        return None
    return _read(mqtt.password_file)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LinkError(f"mqtt.password_file: {path} cannot be read: {error}") from error


def tls_context(mqtt: MqttSettings) -> ssl.SSLContext | None:
    """TLS 1.2 or newer, certificate and host name checked; None without `ca_file`. Raises LinkError."""
    if mqtt.ca_file is None:
        return None
    try:
        context = ssl.create_default_context(cafile=str(mqtt.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if mqtt.cert_file is not None:
            # a key with a passphrase would make OpenSSL ask for it on the terminal, and wait
            context.load_cert_chain(
                str(mqtt.cert_file),
                None if mqtt.key_file is None else str(mqtt.key_file),
                password=lambda: b"",
            )
    except (OSError, ssl.SSLError) as error:
        raise LinkError(
            f"mqtt.ca_file, cert_file, key_file: not usable ({error}); check paths and rights, and that key "
            "and certificate belong together"
        ) from error
    return context


@lru_cache(maxsize=256)
def reason_text(code: int) -> str:
    """The name of a PUBACK's reason code."""
    try:
        return str(ReasonCode(PacketTypes.PUBACK, identifier=code))
    except (KeyError, AssertionError):
        return f"reason {code:#04x}"


def refusal(code: int, name: str, mqtt: MqttSettings) -> str:
    """What to tell an operator about a CONNACK that says no. `code` is MQTT 5's."""
    user = mqtt.username or "nobody (no mqtt.username is set)"
    advice = {
        0x86: f"the broker knows no such user and password ({user}): check both",
        0x87: f"the broker does not let {user} in: check password, certificate, access list",
        0x85: "the broker refuses this client id: mqtt client ids are the node's name (node.name)",
        0x8A: "the broker has banned this client",
        0x84: "the broker does not speak this version of MQTT: set mqtt.protocol to auto or 3.1.1",
    }
    return advice.get(code, f"the broker refuses the connection: {name}")


def rivalled(client_id: str, rival: str = "") -> str:
    """What to tell an operator about a second client of this name; `rival` is its boot, where that is known."""
    which = f" (boot {rival})" if rival else ""
    return (
        f"another client with the client id {client_id!r}{which} takes this node's connection: each node needs its own "
        "node.name"
    )


def suspected(client_id: str) -> str:
    return (
        "the connection is lost again and again soon after it is made: is there another client with the client id "
        f"{client_id!r}? Each node needs its own node.name"
    )


def unanswered(mqtt: MqttSettings) -> str:
    """What to tell an operator about a broker that takes the connection and ends it, or says nothing."""
    if mqtt.ca_file is not None and mqtt.cert_file is None:
        hint = ": does it ask for a client certificate (mqtt.cert_file, key_file)?"
    elif mqtt.ca_file is not None:
        hint = ": does it trust this client certificate?"
    else:
        hint = ": is this an MQTT port, and one without TLS?"
    return f"{mqtt.host}:{mqtt.effective_port}: accepts connections but does not answer{hint}"


def failure(error: Exception, mqtt: MqttSettings) -> tuple[str, bool]:
    """(what to tell an operator, whether it lasts) of a connection that could not be made."""
    where = f"{mqtt.host}:{mqtt.effective_port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"{where}: the broker's certificate is not trusted ({error.verify_message}): check mqtt.ca_file",
            True,
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"{where}: TLS failed ({error.reason or error}): a TLS port? the right client certificate?",
            True,
        )
    if isinstance(error, LinkError):
        return str(error), True
    return f"{where}: cannot be reached ({error})", False
