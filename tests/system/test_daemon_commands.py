"""What an operator tells the node over MQTT is done and answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.system.daemon import eventually
from tests.system.listener import Listener
from tests.system.plant import Plant, StartNode


def test_commands_are_done_and_answered(plant: Plant, listener: Listener, start: StartNode) -> None:
    began = datetime.now(UTC) - timedelta(minutes=1)
    plant.camera(
        "line_1", plant.clip(("dark", 0.6), ("bright", 0.6)), loop=True, fps=10, smoothing={"method": "none"}
    )
    plant.rule("lit", 'line_1.frame == "bright"')
    node = start(plant).wait_until_ready()
    listener.wait_events("lit", 2)

    taken = listener.ask("snapshot", camera="line_1", draw=True)
    assert taken["status"] == "ok", taken
    pictures = eventually(lambda: listener.of("cameras/line_1/snapshot"), "a picture")
    assert len(pictures[-1].payload) == taken["data"]["bytes"]
    assert listener.retained()["cameras/line_1/snapshot"][:2] == b"\xff\xd8"

    explained = listener.ask("explain", rule="lit")
    assert explained["status"] == "ok", explained
    assert any("bright" in sentence for sentence in explained["data"]["sentences"])

    replayed = listener.ask("replay_events", since=began.isoformat())
    assert replayed["status"] == "ok", replayed
    again = replayed["data"]["messages"]
    assert again >= 2
    eventually(
        lambda: len(listener.events("lit")) > len({event["seq"] for event in listener.events("lit")}),
        "an event arrived twice",
    )

    assert listener.ask("rule_disable", rule="lit")["status"] == "ok"
    listener.wait_last("events/lit", lambda event: event["event_type"] == "end")
    assert listener.ask("camera_disable", camera="line_1")["status"] == "ok"
    listener.wait_last("cameras/line_1/state", lambda camera: camera["state"] == "disabled")
    listener.wait_last("cameras/line_1/regions/frame/state", lambda state: state["label"] == "invalid")
    assert listener.ask("camera_enable", camera="line_1")["status"] == "ok"
    listener.wait_last("cameras/line_1/state", lambda camera: camera["state"] == "online")
    assert listener.ask("rule_enable", rule="lit")["status"] == "ok"
    seen = len(listener.events("lit"))
    listener.wait_events("lit", seen + 1)

    assert listener.ask("reload")["status"] == "ok"
    node.wait_for_text("configuration reloaded")

    for verb, arguments, code in (
        ("snapshot", {"camera": "line_l"}, "unknown_camera"),
        ("explain", {"rule": "lite"}, "unknown_rule"),
        ("replay_events", {}, "bad_arguments"),
    ):
        refused = listener.ask(verb, **arguments)
        assert refused["status"] == "error"
        assert refused["error"]["code"] == code
    assert "did you mean" in listener.ask("snapshot", camera="line_l")["error"]["message"]
    assert node.stop() == 0
