"""Whether another client goes by this node's name: told by what each of them leaves with the broker.

A broker lets one client of a name in and ends the connection of the other, most of them without a word; a link that
is cut looks the same. So every connection first reads what is retained on `…/instance`, and then leaves there which
life of which process it is and whom it found. Whoever finds its own life among those that somebody else found has
met a second client, and this one alone can have put it there: no clock is asked, a node that starts again finds only
lives before its own, and a broker that lost or restored its store shows nothing that was not written.
"""

from __future__ import annotations

from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions
from pydantic import ValidationError

from edgenode.delivery.link_options import Received
from edgenode.delivery.payloads import MAX_DISPLACED, InstancePayload

_LOSSES_UNANSWERED = 2
"""So many connections in a row that end before the subscription was answered: the broker ends them for it (some do,
where an access list forbids one), and is not asked again."""


class Rivalry:
    """One for all connections of a link; everything on the network thread. Without a `topic` it does nothing."""

    def __init__(self, topic: str, boot: str) -> None:
        self._topic = topic
        self._boot = boot
        self._mid: int | None = None
        self._found: tuple[str, ...] = ()
        self._told: tuple[str, ...] | None = None
        self._unanswered = 0
        self.rival = ""
        """The life that took this one's place before the connection that stands or ended last; empty for none."""
        self.undisputed = False
        """Whether this life was the last one to come by this name when that connection began."""

    def begin(self, client: paho.Client, is_5: bool) -> None:
        """The broker has accepted a connection. Nothing was sent on it yet: the broker answers in this order."""
        self.rival, self.undisputed = "", False
        self._found, self._told, self._mid = (), None, None
        if not self._topic or self._unanswered >= _LOSSES_UNANSWERED:
            return
        if is_5:
            options = SubscribeOptions(
                qos=1, noLocal=True, retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
            )
            self._mid = client.subscribe(self._topic, options=options)[1]
        else:
            self._mid = client.subscribe(self._topic, qos=1)[1]

    def subscribed(self, client: paho.Client, mid: int, refused: bool, is_5: bool) -> None:
        """The broker answered a subscription."""
        if mid == self._mid:
            self._mid, self._unanswered = None, 0
            if not refused:
                self._tell(client, is_5)

    def heard(self, client: paho.Client, told: Received, is_5: bool) -> bool:
        """Whether a message was about this; it may have come to know `rival` by it."""
        if told.topic != self._topic:
            return False
        try:
            found = InstancePayload.model_validate_json(told.payload)
        except ValidationError:
            return True
        if found.boot == self._boot:
            # not its own word of now, which a broker of MQTT 3.1.1 sends back
            self.undisputed = self.undisputed or told.retain
            if told.retain:
                self._found = tuple(found.displaced)
                self._tell(client, is_5)
            return True
        if self._boot in found.displaced:
            self.rival = found.boot
        if told.retain:
            lives = (found.boot, *(each for each in found.displaced if each not in (found.boot, self._boot)))
            self._found = lives[:MAX_DISPLACED]
            self._tell(client, is_5)
        return True

    def lost(self) -> None:
        """An accepted connection has ended."""
        if self._mid is not None:
            self._unanswered += 1

    def _tell(self, client: paho.Client, is_5: bool) -> None:
        if self._told == self._found:
            return
        self._told = self._found
        payload = InstancePayload(boot=self._boot, displaced=list(self._found)).to_bytes()
        properties: Any = None
        if is_5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ContentType = "application/json"
        client.publish(self._topic, payload, qos=1, retain=True, properties=properties)
