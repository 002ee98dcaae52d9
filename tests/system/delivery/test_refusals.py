"""What a broker does not take: messages, topics, people, a second node of one name, more at once than it said."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgenode.delivery.link_options import QUICK_LOSSES, LinkOptions
from edgenode.delivery.publisher import Publisher
from edgenode.records import Severity
from edgenode.settings import OutboxSettings
from tests.servers.mosquitto import MosquittoBroker
from tests.servers.mqtt_proxy import MqttProxy
from tests.system.delivery.stage import Listener, Tally, end, event, publisher, quick, wait_for

Factory = Callable[..., MosquittoBroker]


def test_a_refused_topic_waits_while_others_flow(
    mosquitto_factory: Factory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite #\ntopic deny edgenode/v1/gateway-7/events/secret\n")
    broker = mosquitto_factory(f"acl_file {rules}")
    broker.start()
    listener = Listener(broker.port, "edgenode/v1/gateway-7/events/#")
    tally = Tally()
    node = publisher(broker.port, tmp_path / "state", tally)
    node.start()
    try:
        for number in range(30):
            node.publish_event(event(number, "secret" if number % 3 == 0 else "open_rule"), None)
        wait_for(lambda: len(listener.events()) == 20, "the permitted ones arrive")
        wait_for(lambda: tally.counts["refused"] > 0 and node.status().degraded, "the refusal shows")
        assert "events/secret" in node.status().degraded_reason
        wait_for(lambda: node.status().outbox_messages == 10, "the refused ones are kept")
        rules.write_text("topic readwrite #\n")
        assert broker._process is not None
        broker._process.send_signal(signal.SIGHUP)
        wait_for(
            lambda: len({e["id"] for e in listener.events()}) == 30, "the refused ones come through at last"
        )
        wait_for(lambda: not node.status().degraded, "all is well again")
        assert tally.evictions == {}
        assert tally.connections == 1
        assert tally.counts["refused"] <= 200, "it rests between two tries"
        assert sum("the broker refuses messages on" in r.message for r in caplog.records) == 1
    finally:
        end(node)
        listener.close()


def test_a_message_too_large_is_never_sent(mosquitto_factory: Factory, tmp_path: Path) -> None:
    broker = mosquitto_factory("max_packet_size 60000")
    broker.start()
    listener = Listener(broker.port, "edgenode/v1/gateway-7/events/#")
    tally = Tally()
    node = publisher(broker.port, tmp_path, tally)
    node.start()
    try:
        wait_for(lambda: node.status().connected, "the connection")
        node.publish_event(event(1), b"\xff" * 100_000)
        node.publish_event(event(2), b"\xff" * 1_000)
        node.publish_snapshot("line_1", b"\xff" * 100_000)
        assert not node.publish_snapshot("line_1", b"\xff" * 300_000)
        wait_for(lambda: len(listener.events()) == 2 and listener.on("/snapshot"), "its neighbours arrive")
        notice = wait_for(lambda: listener.on("/_outbox"), "the gap is explained")[0].json
        assert notice["lost"] == [{"reason": "too_large", "count": 1, "first_seq": 2, "last_seq": 2}]
        assert tally.evictions["too_large"] == 3
        assert tally.connections == 1
        picture = listener.on("/snapshot")[0]
        assert dict(picture.properties.UserProperty)["seq"] == "4"
        assert [e["snapshot_seq"] for e in listener.events()] == [2, 4]
    finally:
        end(node)
        listener.close()


def test_an_event_nobody_subscribed_to_is_held_when_asked(
    mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    node = publisher(mosquitto_broker.port, tmp_path / "state", Tally(), hold_without_subscriber=True)
    node.start()
    node.publish_event(event(1), None)
    wait_for(lambda: node.status().refused, "the broker says that nobody listens")
    listener = Listener(mosquitto_broker.port, "edgenode/v1/gateway-7/events/#")
    try:
        wait_for(lambda: len(listener.events()) == 1, "the event waited for a subscriber")
    finally:
        end(node)
        listener.close()


def test_an_outbox_that_overflows_tells_which_events_are_gone(
    mosquitto_factory: Factory, tmp_path: Path
) -> None:
    broker = mosquitto_factory()
    tally = Tally()
    node = publisher(broker.port, tmp_path / "state", tally, outbox=OutboxSettings(max_events=50))
    node.start()
    for number in range(120):
        node.publish_event(event(number, severity=Severity.CRITICAL if number < 10 else Severity.INFO), None)
    wait_for(lambda: node.status().appended == 120, "all were stored once")
    assert tally.evictions == {"evicted": 70}
    broker.start()
    listener = Listener(broker.port, "edgenode/v1/gateway-7/events/#")
    try:
        wait_for(lambda: listener.on("/_outbox") and len(listener.events()) >= 50, "what is left arrives")
        heard = {e["seq"] for e in listener.events()}
        lost = [each for notice in listener.on("/_outbox") for each in notice.json["lost"]]
        gone = {seq for each in lost for seq in range(each["first_seq"], each["last_seq"] + 1)}
        assert heard | gone >= set(range(1, 121))
        assert not heard & gone
        assert set(range(1, 11)) <= heard
    finally:
        end(node)
        listener.close()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_two_nodes_of_one_name_go_slowly_and_say_so(
    mosquitto_broker: MosquittoBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    """With the pauses of a node: once they have met, each comes back after 20 s or more. With MQTT 3.1.1 no broker
    says why it ends a connection, with MQTT 5 Mosquitto does from 2.1 on."""
    tallies = [Tally(), Tally()]
    nodes = twins(mosquitto_broker, tmp_path, tallies, shipped, protocol)
    try:
        wait_for(lambda: all(t.counts["rivalled"] for t in tallies), "each has met the other")
        for node, other, tally in zip(nodes, reversed(nodes), tallies, strict=True):
            wait_for(lambda node=node: "another client" in node.status().rival, "its status tells")
            assert protocol == "5" or other.boot in node.status().rival
            assert tally.connections <= 3
        wait_for(lambda: any(not node.status().connected for node in nodes), "one of them keeps away")
        away = next(node for node in nodes if not node.status().connected)
        assert "another client" in away.status().reason
        told = [r for r in caplog.records if "another client" in r.message]
        assert {r.levelname for r in told} == {"ERROR"}
        assert len(told) <= 2 * len(nodes), "not again and again"
        assert not [r for r in caplog.records if "again and again" in r.message], "met, not suspected"
    finally:
        for node in nodes:
            node.stop(0.1)
        for node in nodes:
            assert node.join(60.0)


def test_two_nodes_that_may_not_read_of_each_other_are_suspected(
    mosquitto_factory: Factory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An access list from before 0108: the broker grants the subscription and delivers nothing, and says no reason."""
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite #\ntopic deny edgenode/v1/gateway-7/instance\n")
    broker = mosquitto_factory(f"acl_file {rules}")
    broker.start()
    tallies = [Tally(), Tally()]
    nodes = twins(broker, tmp_path, tallies, quick, "3.1.1")
    try:
        wait_for(lambda: any("again and again" in r.message for r in caplog.records), "the suspicion")
        assert min(t.connections for t in tallies) <= 10
        assert not any(t.counts["rivalled"] for t in tallies)
    finally:
        for node in nodes:
            node.stop(0.1)
        for node in nodes:
            assert node.join(60.0)


def twins(
    broker: MosquittoBroker,
    folder: Path,
    tallies: list[Tally],
    link: Callable[[LinkOptions], LinkOptions],
    protocol: str,
) -> list[Publisher]:
    nodes = [
        publisher(broker.port, folder / f"twin{i}", tally, link=link, protocol=protocol)
        for i, tally in enumerate(tallies)
    ]
    for node, tally in zip(nodes, tallies, strict=True):
        node.start()
        wait_for(lambda tally=tally: tally.connections, "it is let in")
    return nodes


def test_a_node_that_starts_again_is_no_second_one(
    mosquitto_broker: MosquittoBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Three lives, of which each takes the name from one that is still connected but says nothing any more; then the
    broker goes back to a store of the first life."""
    broker = mosquitto_broker
    lives = []
    for number in range(3):
        tally = Tally()
        node = publisher(broker.port, tmp_path / "state", tally)
        node.start()
        wait_for(lambda node=node: node.status().connected and node.status().on_the_way == 0, "it is let in")
        if number < 2:
            end(node)
        lives.append((node, tally))
        if number == 0:
            broker.stop()
            kept = (broker.folder / "mosquitto.db").read_bytes()
            broker.start()
    last, tally = lives[-1]
    for store in (kept, None, kept):
        broker.kill()
        broker.lose_store()
        if store is not None:
            (broker.folder / "mosquitto.db").write_bytes(store)
        before = tally.connections
        broker.start()
        wait_for(lambda before=before: tally.connections > before, "it comes back")
        wait_for(lambda: last.status().connected and last.status().on_the_way == 0, "all is said")
    end(last)
    assert not [tally for _, tally in lives if tally.counts["rivalled"]]
    assert "another client" not in caplog.text


def test_a_link_that_is_cut_often_is_no_second_node(
    mosquitto_broker: MosquittoBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy that closes as a broker does, more often in a row than what is suspected where nothing can be read."""
    tally = Tally()
    with MqttProxy(mosquitto_broker.port) as proxy:
        node = publisher(
            proxy.port,
            tmp_path / "state",
            tally,
            link=lambda options: replace(quick(options), slow_pause_s=60.0),
        )
        node.start()
        for number in range(1, QUICK_LOSSES + 3):
            wait_for(lambda number=number: tally.connections == number, "the connection")
            wait_for(lambda: node.status().connected and node.status().on_the_way == 0, "all is said")
            proxy.hang_up()
        wait_for(lambda: tally.connections == QUICK_LOSSES + 3, "it comes back", 30.0)
        end(node)
    assert not tally.counts["rivalled"]
    assert "another client" not in caplog.text


def shipped(options: LinkOptions) -> LinkOptions:
    """With the pauses that a node has."""
    return options


def test_a_wrong_password_is_named_and_retried_slowly(
    mosquitto_factory: Factory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "gateway-7", "right"], check=True)
    passwords.chmod(0o644)
    broker = mosquitto_factory("allow_anonymous false", f"password_file {passwords}")
    broker.start()
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    node = publisher(
        broker.port, tmp_path / "state", Tally(), link=shipped, username="gateway-7", password_file=secret
    )
    node.start()
    wait_for(lambda: "check password" in node.status().reason, "the reason is known")
    assert "wrong" not in node.status().reason
    end(node)
    told = [r for r in caplog.records if "check password" in r.message]
    assert len(told) == 1
    assert broker.log.count("not authorised") == 1
    secret.write_text("right\n")
    node = publisher(broker.port, tmp_path / "state", Tally(), username="gateway-7", password_file=secret)
    node.start()
    wait_for(lambda: node.status().connected, "the right password is let in")
    end(node)


def test_never_more_on_the_way_than_the_broker_takes(mosquitto_factory: Factory, tmp_path: Path) -> None:
    """A proxy counts PUBLISH packets against PUBACKs."""
    broker = mosquitto_factory("max_inflight_messages 5")
    broker.start()
    with MqttProxy(broker.port) as proxy:
        node = publisher(proxy.port, tmp_path / "state", Tally())
        node.start()
        for number in range(400):
            node.publish_event(event(number), None)
        wait_for(lambda: node.status().delivered == 400, "all arrive")
        end(node)
    assert proxy.acknowledged >= 400
    assert 0 < proxy.most <= 5
