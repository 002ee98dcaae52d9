"""The paho client of one connection: how it is made, and what it needs to be told around its edges."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgenode.delivery.link_options import MAX_INCOMING_BYTES, LinkOptions, read_password, tls_context
from edgenode.delivery.link_wire import WireClient
from edgenode.delivery.mqtt5_properties import PackedProperties
from edgenode.records import Message


def build_client(options: LinkOptions, is_5: bool, on_answer: Callable[[int, int], None]) -> WireClient:
    """A client that was never connected, without callbacks. Reads password and certificates: raises LinkError."""
    client = WireClient(
        on_answer,
        callback_api_version=CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        protocol=MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = options.connect_timeout_s
    context = tls_context(options.mqtt)
    if context is not None:
        client.tls_set_context(context)
    password = read_password(options.mqtt)
    if options.mqtt.username is not None:
        client.username_pw_set(options.mqtt.username, password)
    will = options.will
    client.will_set(will.topic, will.payload, will.qos, will.retain)
    client.on_socket_open = _no_delay
    # tells paho that another loop writes: `publish` then never writes on the caller's thread
    client.on_socket_register_write = _nothing
    return client


def asked_for() -> Properties:
    """What the broker is asked to keep to, in MQTT 5."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = MAX_INCOMING_BYTES
    return properties


def _nothing(_client: Any, _userdata: Any, _sock: Any) -> None:
    return


def _no_delay(_client: Any, _userdata: Any, sock: Any) -> None:
    # without it a command's answer takes 40 to 90 ms (Nagle and delayed acknowledgements), with it 0.4 ms
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def packet_bytes(message: Message, properties: PackedProperties | None) -> int:
    """An upper bound of the PUBLISH packet's size: fixed header 5, topic 2 + n, identifier 2, properties,
    payload.
    """
    extra = 0 if properties is None else len(properties.pack())
    return 9 + len(message.topic.encode()) + extra + len(message.payload)
