"""SIGHUP: what changed is applied, what did not runs on, and a bad file changes nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from edgenode.configuration.file import load
from edgenode.errors import ConfigurationError
from edgenode.node.node import Node
from tests.models import file_sha256, make_model
from tests.system.daemon import Daemon, eventually
from tests.system.listener import Listener
from tests.system.plant import Plant, StartNode


def frames(node: Daemon, camera: str) -> float:
    return node.metric("edgenode_frames_total", camera=camera)


def reload(node: Daemon, plant: Plant, said: str) -> None:
    plant.write()
    node.signal(signal.SIGHUP)
    node.wait_for_text(said)


def test_a_reload_adds_and_removes_cameras_and_rules_while_the_others_run_on(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    film = plant.clip(("dark", 1.0), ("bright", 1.0))
    plant.camera("stays", film, loop=True, fps=10)
    plant.camera("goes", film, loop=True, fps=10)
    plant.rule("lit", 'stays.frame == "bright"')
    node = start(plant).wait_until_ready()
    listener.wait_last("cameras/goes/regions/frame/state", lambda state: state["label"] in ("dark", "bright"))
    listener.wait_events("lit", 1)
    before = eventually(lambda: frames(node, "stays"), "frames of the camera that stays")
    index = listener.wait("cameras/stays/regions/frame/classification")["frame_index"]

    plant.cameras.pop()
    plant.camera("comes", film, loop=True, fps=10)
    plant.rules.clear()
    plant.rule("dim", 'comes.frame == "dark"')
    reload(node, plant, "configuration reloaded: 2 cameras, 1 models, 1 rules")

    listener.wait("cameras/comes/regions/frame/classification")
    events = listener.wait_events("dim", 2)
    assert {event["camera"] for event in events} == {"comes"}
    assert listener.wait_events("lit", 2)[-1]["event_type"] == "end"
    eventually(
        lambda: not [topic for topic in listener.retained() if topic.startswith("cameras/goes/")],
        "nothing retained of the camera that went",
    )
    assert {camera["name"] for camera in (listener.last("info") or {})["cameras"]} == {"stays", "comes"}
    assert frames(node, "stays") > before
    newest = listener.of("cameras/stays/regions/frame/classification")[-1].json["frame_index"]
    assert newest > index, "the camera that stays was opened anew"
    assert node.status()["cameras"]["stays"]["reconnects"] == 0
    assert ("edgenode_camera_up", (("camera", "goes"),)) not in node.metrics()
    assert node.stop() == 0


def test_a_bad_file_is_refused_with_every_mistake_and_the_old_one_goes_on(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    plant.camera("line_1", plant.clip(("dark", 1.0), ("bright", 1.0)), loop=True, fps=10)
    plant.rule("lit", 'line_1.frame == "bright"')
    node = start(plant).wait_until_ready()
    plant.rules[0]["when"] = 'line_1.frame == "brigt"'
    plant.camera("line_2", "nowhere.mp4")
    reload(node, plant, "the former configuration goes on")
    text = node.text()
    assert "brigt" in text
    assert "nowhere.mp4" in text
    seen = len(listener.events("lit"))
    listener.wait_events("lit", seen + 1)
    assert node.get("/readyz")[0] == 200

    plant.rules[0]["when"] = 'line_1.frame == "bright"'
    plant.cameras.pop()
    plant.sections["mqtt"]["keepalive"] = "20s"
    plant.sections.setdefault("node", {})["drain"] = "3s"
    plant.sections["http"]["token_file"] = str(plant.folder / "token")
    (plant.folder / "token").write_text("x" * 40)
    plant.sections["outbox"] = {"keep": "1h"}
    plant.sections["commands"] = {"rate": 3.0}
    reload(node, plant, "mqtt: changed, which needs a restart of the node")
    for section in ("node", "http", "outbox", "commands"):
        node.wait_for_text(f"{section}: changed, which needs a restart of the node")
    listener.wait_events("lit", len(listener.events("lit")) + 1)
    assert node.stop() == 0


def test_a_model_file_that_was_replaced_serves_after_a_reload(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    plant.camera("line_1", plant.clip(("dark", 1.0), ("bright", 1.0)), loop=True, fps=10)
    node = start(plant).wait_until_ready()
    old = file_sha256(plant.folder / "tiny.onnx")
    listener.wait("models/tiny", lambda model: model["sha256"] == old)
    frames_before = eventually(lambda: frames(node, "line_1"), "frames")
    fresh = plant.folder / "fresh.onnx"
    make_model(fresh, version="1.1.0")
    fresh.replace(plant.folder / "tiny.onnx")
    new = file_sha256(plant.folder / "tiny.onnx")
    reload(node, plant, "configuration reloaded")
    listener.wait("models/tiny", lambda model: model["sha256"] == new and model["version"] == "1.1.0")
    listener.wait("cameras/line_1/regions/frame/classification", lambda raw: raw["model"]["sha256"] == new)
    assert frames(node, "line_1") > frames_before
    assert node.metric("edgenode_model_info", sha256=new) == 1
    assert node.metric("edgenode_model_info", sha256=old) == 0
    assert node.stop() == 0


def test_nothing_is_kept_of_a_region_that_goes_nor_of_a_camera_that_is_renamed_while_the_node_is_away(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    film = plant.clip(("dark", 1.0), ("bright", 1.0))
    plant.camera("door", film, loop=True, regions=[{"name": "left"}, {"name": "right"}])
    node = start(plant)
    both = {"cameras/door/regions/left/state", "cameras/door/regions/right/state"}
    eventually(lambda: both <= set(listener.retained()), "both regions are told of")

    plant.cameras[0]["regions"].pop()
    reload(node, plant, "configuration reloaded")
    eventually(lambda: both & set(listener.retained()) == {min(both)}, "one of them is forgotten")
    assert node.stop() == 0

    plant.cameras[0]["name"] = "gate"
    node = start(plant)
    listener.wait_last("cameras/gate/regions/left/state", lambda state: state["label"] in ("dark", "bright"))
    eventually(
        lambda: not [topic for topic in listener.retained() if topic.startswith("cameras/door/")],
        "nothing is kept of the old name",
    )
    assert node.stop() == 0


def test_a_reload_whose_rules_do_not_go_with_a_model_leaves_that_model_at_work(tmp_path: Path) -> None:
    """As where another file is active in the store than the one the rules were written for."""
    plant = Plant(tmp_path, 1)
    plant.sections["http"]["listen"] = "127.0.0.1:0"
    plant.camera("line_1", plant.clip(("dark", 1.0)), loop=True, fps=5)
    loaded = load(plant.write(), {})
    node = Node(loaded.settings, loaded.base_dir)
    node.start()
    try:
        serving = node.pipeline.classifier("tiny")
        assert serving is not None
        plant.rule("lit", 'line_1.frame == "brigt"')
        other = load(plant.write(), {})
        with pytest.raises(ConfigurationError, match="brigt"):
            node.reload(other.settings, other.base_dir)
        assert node.pipeline.classifier("tiny") is serving
        assert serving.classify(np.zeros((1, *serving.card.input.shape), np.uint8)).finite.all()
    finally:
        node.stop()
