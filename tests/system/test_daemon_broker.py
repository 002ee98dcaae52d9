"""The broker is away, comes back, refuses: no event is lost and every trouble is said once, clearly."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.mosquitto import MosquittoBroker
from tests.system.daemon import Daemon, eventually
from tests.system.listener import Listener
from tests.system.plant import Plant, StartNode

MakeBroker = Callable[..., MosquittoBroker]


def gap_free(events: list[dict[str, Any]]) -> bool:
    numbers = sorted({event["seq"] for event in events})
    return numbers == list(range(1, len(numbers) + 1))


def blinking(plant: Plant) -> None:
    plant.camera(
        "line_1", plant.clip(("dark", 0.6), ("bright", 0.6)), loop=True, fps=10, smoothing={"method": "none"}
    )
    plant.rule("lit", 'line_1.frame == "bright"')


def test_events_from_before_the_broker_was_there_arrive_when_it_comes(
    tmp_path: Path, mosquitto_factory: MakeBroker, start: StartNode
) -> None:
    broker = mosquitto_factory()
    plant = Plant(tmp_path, broker.port)
    blinking(plant)
    node = start(plant).wait_until_ready()
    eventually(lambda: node.metric("edgenode_outbox_messages") >= 4, "events wait in the outbox")
    assert node.status()["health"]["status"] == "degraded"
    assert node.text().count("cannot be reached") == 1
    broker.start()
    with plant.listener() as listener:
        events = listener.wait_events("lit", 4)
        assert gap_free(events)
        eventually(lambda: node.metric("edgenode_mqtt_connected") == 1, "connected")
        listener.wait_last("state", lambda state: state["state"] == "online" and not state["reason"])
        assert node.stop() == 0


def test_no_event_is_lost_when_the_broker_is_killed(
    plant: Plant, listener: Listener, mosquitto_broker: MosquittoBroker, start: StartNode
) -> None:
    blinking(plant)
    node = start(plant)
    listener.wait_events("lit", 2)
    mosquitto_broker.kill()
    eventually(lambda: node.metric("edgenode_mqtt_connected") == 0, "the loss is noticed")
    eventually(lambda: node.metric("edgenode_outbox_messages") >= 3, "events wait in the outbox")
    # the node waits until the subscriber is back: a broker that was killed keeps no session for it
    node.signal(signal.SIGSTOP)
    eventually(lambda: not listener.subscribed, "the subscriber notices too")
    mosquitto_broker.start()
    listener.wait_subscribed()
    node.signal(signal.SIGCONT)
    eventually(lambda: node.metric("edgenode_mqtt_connected") == 1, "connected again")
    eventually(lambda: node.metric("edgenode_outbox_messages") == 0, "the outbox is empty")
    assert node.stop() == 0
    eventually(
        lambda: gap_free(listener.events("lit")) and len({e["seq"] for e in listener.events("lit")}) >= 6,
        f"every event arrived: {sorted({e['seq'] for e in listener.events('lit')})}",
    )


def test_a_wrong_password_is_said_once_and_a_corrected_file_is_used(
    tmp_path: Path, mosquitto_factory: MakeBroker, start: StartNode
) -> None:
    users = tmp_path / "users"
    for name, word in (("line-7", "right-horse"), ("ear", "ear-word")):
        create = ["-c"] if not users.exists() else []
        subprocess.run(
            ["mosquitto_passwd", "-b", *create, str(users), name, word], check=True, capture_output=True
        )
    broker = mosquitto_factory("allow_anonymous false", f"password_file {users}")
    broker.start()
    plant = Plant(tmp_path, broker.port)
    blinking(plant)
    word = tmp_path / "word"
    word.write_text("wrong-horse\n")
    plant.sections["mqtt"] |= {"username": "line-7", "password_file": "word"}
    node = start(plant).wait_until_ready()
    node.wait_for_text("the broker does not let line-7 in|knows no such user and password")
    eventually(lambda: node.metric("edgenode_outbox_messages") >= 2, "events wait in the outbox")
    assert node.text().count("mqtt.password_file") <= 1
    assert "wrong-horse" not in node.text()
    word.write_text("right-horse\n")
    node.signal(signal.SIGHUP)
    with Listener(broker.port, "edgenode/v1/line-7", "ear", "ear-word") as listener:
        assert gap_free(listener.wait_events("lit", 2))
    assert "right-horse" not in node.text()
    assert node.stop() == 0


@pytest.mark.parametrize("after", ["kill", "stop"])
def test_an_open_event_survives_the_end_of_the_process(
    plant: Plant, listener: Listener, start: StartNode, after: str
) -> None:
    plant.camera("line_1", plant.clip(("bright", 2.0)), loop=True, fps=10)
    plant.rule("lit", 'line_1.frame == "bright"')
    node = start(plant)
    first = listener.wait_events("lit", 1)[0]
    memory = plant.folder / "state" / "memory.json"
    eventually(lambda: memory.exists() and first["id"] in memory.read_text(), "the event is remembered")
    if after == "kill":
        node.signal(signal.SIGKILL)
        node.process.wait()
    else:
        assert node.stop() == 0
    plant.clip(("dark", 2.0))
    again: Daemon = start(plant).wait_until_ready()
    events = listener.wait_events("lit", 2)
    assert [(event["event_type"], event["n"]) for event in events] == [("start", 0), ("end", 1)]
    assert {event["id"] for event in events} == {first["id"]}
    assert [event["seq"] for event in events] == [1, 2]
    assert events[0]["boot"] != events[1]["boot"]
    assert events[1]["reason"]
    assert again.stop() == 0


def test_after_a_power_cut_states_open_events_and_undelivered_ones_are_there_again(
    plant: Plant, listener: Listener, start: StartNode, mosquitto_broker: MosquittoBroker
) -> None:
    """The broker is away, so that the outbox is full; the writing of states is torn off in the middle."""
    plant.camera("line_1", plant.clip(("bright", 2.0)), loop=True, fps=10)
    plant.camera("line_2", plant.clip(("dark", 0.5), ("bright", 0.5), name="blink.mp4"), loop=True, fps=10)
    plant.rule("lit", 'line_1.frame == "bright"')
    plant.rule("blink", 'line_2.frame == "bright"')
    node = start(plant)
    opened = listener.wait_events("lit", 1)[0]
    listener.wait_events("blink", 1)
    mosquitto_broker.stop()
    eventually(lambda: node.metric("edgenode_outbox_messages") >= 4, "events wait")
    state = plant.folder / "state"
    eventually(lambda: opened["id"] in (state / "memory.json").read_text(), "the event is remembered")
    node.signal(signal.SIGKILL)
    node.process.wait()
    whole = (state / "memory.json").read_bytes()
    (state / "memory.new").write_bytes(whole[: len(whole) // 2])
    (state / "discovery.new").write_bytes(b"")
    with (state / "outbox" / "outbox.db-wal").open("ab") as log:
        log.write(b"\0torn" * 300)
    mosquitto_broker.start()
    listener.wait_subscribed()
    plant.clip(("dark", 2.0))
    again = start(plant).wait_until_ready()
    ended = eventually(
        lambda: next((e for e in listener.events("lit") if e["event_type"] == "end"), None), "the end"
    )
    assert (ended["id"], ended["n"]) == (opened["id"], 1)
    eventually(lambda: again.metric("edgenode_outbox_messages") == 0, "all is delivered")
    numbers = sorted({each["seq"] for rule in ("lit", "blink") for each in listener.events(rule)})
    assert numbers == list(range(1, numbers[-1] + 1))
    region = listener.wait_last("cameras/line_1/regions/frame/state", lambda state: state["label"] == "dark")
    assert region
    assert again.stop() == 0
    assert not list(state.glob("*.unreadable"))
