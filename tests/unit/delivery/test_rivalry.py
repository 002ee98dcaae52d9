"""Two nodes of one name, and one alone, whatever the broker forgets, restores, or does not permit."""

from __future__ import annotations

import json
from typing import Any

import paho.mqtt.client as paho
from hypothesis import given
from hypothesis import strategies as st

from edgenode.delivery.link_options import Received
from edgenode.delivery.rivalry import Rivalry

TOPIC = "edgenode/v1/gateway-7/instance"


class Shelf:
    """The broker's part: what is retained, by whose word, and every word that was ever kept."""

    def __init__(self) -> None:
        self.kept: bytes | None = None
        self.past: list[bytes | None] = [None]

    def connect(self, rivalry: Rivalry, reads: bool = True, late: bool = False) -> None:
        """A connection of MQTT 3.1.1, which sends its own word back; `late`: the retained word after the SUBACK."""
        client = Client(self)
        rivalry.begin(client, False)
        found = self.kept if reads else None
        if client.subscriptions == 0:
            return
        if found is not None and not late:
            rivalry.heard(client, _received(found, True), False)
        rivalry.subscribed(client, client.subscriptions, False, False)
        if found is not None and late:
            rivalry.heard(client, _received(found, True), False)
        if reads and self.kept is not None:
            rivalry.heard(client, _received(self.kept, False), False)


class Client(paho.Client):
    """Takes what a connection would send."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(paho.CallbackAPIVersion.VERSION2, client_id="x", protocol=paho.MQTTv311)
        self._shelf = shelf
        self.subscriptions = 0

    def subscribe(self, topic: Any, *_: Any, **__: Any) -> Any:
        assert topic == TOPIC
        self.subscriptions += 1
        return paho.MQTT_ERR_SUCCESS, self.subscriptions

    def publish(self, topic: str, payload: Any = None, *_: Any, **how: Any) -> Any:
        assert (topic, how["retain"]) == (TOPIC, True)
        self._shelf.kept = payload
        self._shelf.past.append(payload)


def _received(payload: bytes, retain: bool) -> Received:
    return Received(TOPIC, payload, retain, 1)


STEPS = st.lists(
    st.sampled_from(["connect", "late", "blind", "restart"]) | st.integers(0, 20), min_size=1, max_size=40
)


@given(steps=STEPS)
def test_one_node_alone_never_meets_itself(steps: list[str | int]) -> None:
    """It connects, starts again, may not read for a while; a number is a broker that goes back to an older store."""
    shelf, boot = Shelf(), 0
    rivalry = Rivalry(TOPIC, "boot0")
    for step in steps:
        if isinstance(step, int):
            shelf.kept = shelf.past[step % len(shelf.past)]
        elif step == "restart":
            boot += 1
            rivalry = Rivalry(TOPIC, f"boot{boot}")
        else:
            shelf.connect(rivalry, reads=step != "blind", late=step == "late")
            assert rivalry.rival == ""


@given(order=st.lists(st.integers(0, 3), min_size=1, max_size=30), nodes=st.integers(2, 4))
def test_several_of_one_name_meet_each_other(order: list[int], nodes: int) -> None:
    """In whatever order they come: one that comes back after another one came knows, unless that one came first too."""
    shelf = Shelf()
    lives = [Rivalry(TOPIC, f"boot{number}") for number in range(nodes)]
    been: set[int] = set()
    last: int | None = None
    for number in (each % nodes for each in order):
        shelf.connect(lives[number])
        if number in been and last != number:
            assert lives[number].rival == f"boot{last}"
        assert lives[number].undisputed == (last == number)
        been.add(number)
        last = number


def test_a_word_that_is_none_changes_nothing() -> None:
    shelf, rivalry = Shelf(), Rivalry(TOPIC, "mine")
    for word in (
        b"",
        b"{",
        b"[]",
        b'{"boot": 1}',
        b"\xff",
        json.dumps({"boot": "x" * 100, "displaced": []}).encode(),
    ):
        shelf.kept = word
        shelf.connect(rivalry)
        assert (rivalry.rival, rivalry.undisputed) == ("", False)
        assert json.loads(shelf.kept)["boot"] == "mine"


def test_a_second_node_elsewhere_in_a_cluster_of_brokers_is_met_and_not_answered() -> None:
    shelf, rivalry = Shelf(), Rivalry(TOPIC, "mine")
    shelf.connect(rivalry)
    client = Client(shelf)
    word = json.dumps({"boot": "other", "displaced": ["mine"]}).encode()
    assert rivalry.heard(client, _received(word, False), False)
    assert rivalry.rival == "other"
    assert json.loads(shelf.kept or b"")["boot"] == "mine"


def test_a_broker_that_ends_the_connection_for_it_is_not_asked_a_third_time() -> None:
    shelf, rivalry = Shelf(), Rivalry(TOPIC, "mine")
    asked = []
    for _ in range(4):
        client = Client(shelf)
        rivalry.begin(client, False)
        asked.append(client.subscriptions)
        rivalry.lost()
    assert asked == [1, 1, 0, 0]


def test_a_refused_subscription_leaves_nothing_behind() -> None:
    shelf, rivalry = Shelf(), Rivalry(TOPIC, "mine")
    client = Client(shelf)
    rivalry.begin(client, False)
    rivalry.subscribed(client, client.subscriptions, True, False)
    assert shelf.kept is None
