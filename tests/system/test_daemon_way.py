"""The main job: what a camera sees arrives at a subscriber, and the node says who it is and when it goes."""

from __future__ import annotations

import signal

from tests.models import file_sha256
from tests.system.daemon import eventually
from tests.system.listener import Listener
from tests.system.plant import Plant, StartNode


def test_states_classifications_and_one_event_of_a_file_camera_arrive(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    plant.camera("line_1", plant.clip(("dark", 1.0), ("bright", 1.5), ("dark", 1.5)), fps=10)
    plant.rule("lit", 'line_1.frame == "bright"', snapshot=True, **{"for": "200ms"})
    node = start(plant)
    listener.wait_last("cameras/line_1/state", lambda camera: camera["state"] == "ended")
    events = listener.wait_events("lit", 2)
    assert [event["event_type"] for event in events] == ["start", "end"]
    assert [event["n"] for event in events] == [0, 1]
    assert events[0]["id"] == events[1]["id"]
    assert [event["seq"] for event in events] == [1, events[0]["snapshot_seq"] + 1]
    assert {event["label"] for event in events} == {"bright"}
    assert {event["node"] for event in events} == {"line-7"}
    pictures = listener.of("events/lit/snapshot")
    assert [each.payload[:2] for each in pictures] == [b"\xff\xd8"]

    states = [each.json for each in listener.of("cameras/line_1/regions/frame/state")]
    told = [(each["label"], each["event_id"]) for each in states if each["label"] in ("dark", "bright")]
    event_id = events[0]["id"]
    # the event begins 200 ms after its label, and ends with it; of a region's states that wait for a slow connection
    # the newest takes the place of the others
    became = [("dark", None), ("bright", None), ("bright", event_id), ("dark", None)]
    assert told[-2:] == became[-2:]
    assert told == became[-len(told) :] or told == [became[0], *became[2:]]
    raw = [each.json for each in listener.of("cameras/line_1/regions/frame/classification")]
    assert {each["label"] for each in raw} == {"dark", "bright"}
    assert {each["model"]["sha256"] for each in raw} == {file_sha256(plant.folder / "tiny.onnx")}
    assert "online" in [each.json["state"] for each in listener.of("cameras/line_1/state")]

    kept = listener.retained()
    assert set(kept) == {
        "state",
        "info",
        "instance",
        "models/tiny",
        "cameras/line_1/state",
        "cameras/line_1/regions/frame/state",
    }
    info = listener.wait_last("info", lambda info: "cameras" in info)
    assert info["cameras"] == [
        {"name": "line_1", "regions": [{"name": "frame", "model": "tiny", "outline": None}]}
    ]
    assert node.stop() == 0
    assert listener.wait_last("state", lambda state: state["state"] == "stopped")["pid"] == node.process.pid


def test_a_killed_node_is_said_to_be_offline_by_the_broker(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    plant.camera("line_1", plant.clip(("dark", 2.0)), loop=True)
    node = start(plant)
    alive = listener.wait_last("state", lambda state: state["state"] == "online" and state["reason"] == "")
    node.signal(signal.SIGKILL)
    gone = listener.wait_last("state", lambda state: state["state"] == "offline")
    assert gone["boot"] == alive["boot"]


def test_health_and_readiness_follow_the_node(plant: Plant, start: StartNode) -> None:
    plant.camera("line_1", plant.clip(("dark", 2.0)), loop=True)
    node = start(plant)
    seen = []

    def ready() -> bool:
        status, _ = node.get("/readyz")
        seen.append(status)
        return status == 200

    eventually(ready, "the node is ready")
    assert set(seen) <= {0, 503, 200}
    assert node.get("/healthz")[0] == 200
    assert node.get("/nothing")[0] == 404
    assert node.status()["cameras"]["line_1"]["status"] in ("online", "offline")
    assert node.stop() == 0
    assert node.get("/healthz")[0] == 0
