"""Asking a running node over its broker: one command, one reply. For the command line, not for the daemon."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import ValidationError

from edgenode.delivery.link_options import failure, read_password, tls_context
from edgenode.delivery.payloads import ReplyPayload
from edgenode.delivery.topics import Topics
from edgenode.errors import EdgeNodeError, LinkError
from edgenode.records import JsonObject
from edgenode.settings import MqttSettings


class RefusedError(EdgeNodeError):
    """The node answered, and said no."""


def ask(mqtt: MqttSettings, node: str, verb: str, args: JsonObject, timeout_s: float = 10.0) -> JsonObject:
    """The `data` of the node's reply to `verb`.

    Connects with the node's own credentials and a client id of its own (MQTT 3.1.1, which every broker
    speaks), waits for the reply on `/replies/<verb>` that carries this request's transaction. Raises
    LinkError when the broker or the node doesn't answer, RefusedError with the node's own words.
    """
    reply, _ = _converse(mqtt, node, _Question(Topics(mqtt.base_topic, node), verb, args), timeout_s)
    return reply


def ask_for_picture(mqtt: MqttSettings, node: str, camera: str, timeout_s: float = 10.0) -> bytes:
    """The JPEG that the node publishes when it is told to take a snapshot of `camera`. Raises as `ask`."""
    topics = Topics(mqtt.base_topic, node)
    asked = _Question(topics, "snapshot", {"camera": camera}, topics.camera_snapshot(camera))
    return _converse(mqtt, node, asked, timeout_s)[1]


def _converse(mqtt: MqttSettings, node: str, asked: _Question, timeout_s: float) -> tuple[JsonObject, bytes]:
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=f"{node}-ask-{asked.transaction[:8]}", protocol=paho.MQTTv311
    )
    if mqtt.username is not None:
        client.username_pw_set(mqtt.username, read_password(mqtt))
    context = tls_context(mqtt)
    if context is not None:
        client.tls_set_context(context)
    client.connect_timeout = timeout_s
    client.on_connect = asked.connected
    client.on_subscribe = asked.subscribed
    client.on_message = asked.received
    try:
        client.connect(mqtt.host, mqtt.effective_port, keepalive=30)
    except Exception as error:
        raise LinkError(failure(error, mqtt)[0]) from error
    client.loop_start()
    try:
        answered = asked.done.wait(timeout_s)
    finally:
        client.disconnect()
        client.loop_stop()
    if asked.refused:
        raise LinkError(f"the broker refuses the connection: {asked.refused}")
    if not answered or asked.reply is None:
        raise LinkError(
            f"no answer from node {node} within {timeout_s:g} s: does it run, under this name "
            f"({asked.topic}), and may this user publish there?"
        )
    if asked.reply.error is not None:
        raise RefusedError(f"{asked.reply.error.code}: {asked.reply.error.message}")
    return asked.reply.data or {}, asked.picture


class _Question:
    """One request and its reply. The methods are paho's callbacks, on paho's thread: they only note."""

    def __init__(self, topics: Topics, verb: str, args: JsonObject, picture_topic: str = "") -> None:
        self.transaction = uuid.uuid4().hex
        self.topic, self._reply_topic = topics.command(verb), topics.reply(verb)
        self._picture_topic = picture_topic
        """Where a picture must come before it is done; empty: none."""
        self.picture = b""
        self._payload = json.dumps({"transaction": self.transaction, "args": args}).encode()
        self.done = threading.Event()
        self.reply: ReplyPayload | None = None
        self.refused = ""

    def connected(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self.refused = str(reason)
            self.done.set()
        else:
            topics = [topic for topic in (self._reply_topic, self._picture_topic) if topic]
            client.subscribe([(topic, 1) for topic in topics])

    def subscribed(self, client: paho.Client, *_: Any) -> None:
        client.publish(self.topic, self._payload, qos=1)

    def received(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if message.topic == self._picture_topic:
            if not message.retain:  # else it is the picture of some time before
                self.picture = bytes(message.payload)
                self._settle()
            return
        try:
            reply = ReplyPayload.model_validate_json(message.payload)
        except (ValidationError, ValueError):
            return  # somebody else's message on this topic
        if reply.transaction == self.transaction:
            self.reply = reply
            self._settle()

    def _settle(self) -> None:
        refused = self.reply is not None and self.reply.error is not None
        if refused or (self.reply is not None and (self.picture or not self._picture_topic)):
            self.done.set()
