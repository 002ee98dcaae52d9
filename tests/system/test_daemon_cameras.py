"""Cameras of every kind through one node, what goes wrong with them, and the accounts of hand-off A."""

from __future__ import annotations

import re
from pathlib import Path

from tests.clips import jpeg
from tests.fixtures_servers import StartHttp, StartRtsp
from tests.models import make_model
from tests.servers.http_camera import Behaviour
from tests.system.daemon import Daemon, eventually
from tests.system.listener import Listener
from tests.system.plant import Plant, StartNode, blinking_clip, flat

SLOW_TRIPS = 150_000
"""Turns of the model's loop: tens of milliseconds a run on a small machine."""


def wait_metric(node: Daemon, name: str, least: float, **labels: str) -> float:
    value: float = eventually(
        lambda: (found := node.metric(name, **labels)) >= least and found, f"{name}{labels} >= {least}"
    )
    return value


def test_sources_of_every_kind_are_classified_at_once(
    plant: Plant, listener: Listener, start: StartNode, http_camera: StartHttp, rtsp_camera: StartRtsp
) -> None:
    web = http_camera(Behaviour([jpeg(flat(235)), jpeg(flat(230))], fps=20.0))
    film = blinking_clip(plant.folder / "rtsp.mp4", [("dark", 4.0)])
    pictures = plant.folder / "pictures"
    pictures.mkdir()
    plant.camera("mjpeg", web.url("stream"), fps=10)
    plant.camera("still", web.url("still"), fps=5)
    plant.camera("rtsp", rtsp_camera(film, "--loop").url, fps=10)
    plant.camera("folder", "pictures/")
    plant.camera("drawn", "synthetic:line", fps=5)
    plant.camera("clip", plant.clip(("bright", 3.0)), loop=True, fps=10)
    node = start(plant)
    # after the connection stands: classifications are of the moment and are not kept for later
    listener.wait("cameras/mjpeg/regions/frame/classification")
    (plant.folder / "one.part").write_bytes(jpeg(flat(20)))
    (plant.folder / "one.part").rename(pictures / "one.jpg")
    expected = {"mjpeg": "bright", "still": "bright", "rtsp": "dark", "folder": "dark", "clip": "bright"}
    for camera, label in expected.items():
        listener.wait(
            f"cameras/{camera}/regions/frame/classification", lambda raw, label=label: raw["label"] == label
        )
    listener.wait("cameras/drawn/regions/frame/classification")
    assert node.stop() == 0


def test_an_rtsp_camera_that_is_killed_and_comes_back_is_classified_again(
    plant: Plant, listener: Listener, start: StartNode, rtsp_camera: StartRtsp
) -> None:
    film = blinking_clip(plant.folder / "rtsp.mp4", [("dark", 4.0)])
    server = rtsp_camera(film, "--loop")
    plant.camera("gate", server.url, fps=10, read_timeout="2s", open_timeout="2s")
    node = start(plant)
    listener.wait_last("cameras/gate/state", lambda camera: camera["state"] == "online")
    server.kill()
    listener.wait_last("cameras/gate/state", lambda camera: camera["state"] == "offline")
    invalid = listener.wait_last(
        "cameras/gate/regions/frame/state", lambda state: state["label"] == "invalid"
    )
    assert invalid["reason"]
    listener.wait_last(
        "state", lambda state: state["state"] == "degraded" and "gate offline" in state["reason"]
    )
    assert node.get("/healthz")[0] == 200
    server.start()
    back = listener.wait_last("cameras/gate/state", lambda camera: camera["state"] == "online")
    assert back["reconnects"] >= 1
    listener.wait_last("cameras/gate/regions/frame/state", lambda state: state["label"] == "dark")
    assert node.stop() == 0


def test_a_camera_that_cannot_be_read_fails_alone(
    plant: Plant, listener: Listener, start: StartNode, http_camera: StartHttp, tmp_path: Path
) -> None:
    (plant.folder / "torn.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(range(256)) * 40)
    garbage = http_camera(Behaviour([b"\xff\xd8 this is no picture \xff\xd9"], fps=20.0))
    plant.camera("torn", "torn.mp4")
    plant.camera("garbage", garbage.url("stream"), fps=10)
    plant.camera("good", plant.clip(("bright", 2.0)), loop=True)
    node = start(plant)
    failed = listener.wait_last("cameras/torn/state", lambda camera: camera["state"] == "failed")
    assert "torn.mp4" in failed["reason"]
    wait_metric(node, "edgenode_frames_total", 10, camera="garbage")
    assert node.metric("edgenode_camera_up", camera="garbage") == 0
    listener.wait("cameras/good/regions/frame/classification", lambda raw: raw["label"] == "bright")
    assert node.metric("edgenode_camera_up", camera="good") == 1
    assert not listener.of("cameras/garbage/regions/frame/classification")
    assert len(re.findall(r"camera torn", node.text())) <= 4
    assert node.stop() == 0


def test_cameras_share_batches_and_one_scrape_of_a_loaded_node_adds_up(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    make_model(plant.folder / "slow.onnx", name="slow", trips=SLOW_TRIPS)
    plant.sections["models.slow"] = {"file": "slow.onnx"}
    film = plant.clip(("dark", 2.0), ("bright", 2.0))
    for number in range(4):
        regions = [
            {"name": "left", "model": "slow", "box": [0.0, 0.0, 0.5, 1.0]},
            {"name": "right", "model": "tiny", "box": [0.5, 0.0, 1.0, 1.0]},
        ]
        plant.camera(f"line_{number}", film, loop=True, fps=0, regions=regions)
    node = start(plant).wait_until_ready()
    wait_metric(node, "edgenode_inferences_total", 20, model="slow")
    wait_metric(node, "edgenode_samples_dropped_total", 20)
    for _ in range(5):
        found = node.metrics()

        def total(name: str, found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = found) -> float:
            return sum(value for (each, _), value in found.items() if each == name)

        assert total("edgenode_samples_offered_total") == (
            total("edgenode_samples_taken_total")
            + total("edgenode_samples_dropped_total")
            + total("edgenode_samples_held")
        )
    reasons = {dict(labels)["reason"] for name, labels in found if name == "edgenode_samples_dropped_total"}
    assert reasons <= {"superseded", "stale", "full"}
    assert "superseded" in reasons
    big = node.metric("edgenode_batch_size_count", model="slow") - node.metric(
        "edgenode_batch_size_bucket", model="slow", le="1.0"
    )
    assert big > 0, "no batch held samples of two cameras"
    assert node.stop() == 0


def test_a_slow_model_does_not_make_answers_older_and_older(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    make_model(plant.folder / "tiny.onnx", trips=SLOW_TRIPS)
    plant.camera("line_1", plant.clip(("dark", 4.0)), loop=True, fps=0)
    node = start(plant).wait_until_ready()
    wait_metric(node, "edgenode_inferences_total", 12)

    def mean(stage: str) -> float:
        return node.metric("edgenode_stage_seconds_sum", stage=stage) / node.metric(
            "edgenode_stage_seconds_count", stage=stage
        )

    run_s = mean("infer")
    # newest wins: a sample waits for at most the run before its own, and is replaced by each new frame;
    # on a busy machine it waits for a thread, too
    assert mean("queue") < 2.0 * run_s + 0.05
    assert node.metric("edgenode_samples_dropped_total", reason="superseded") > 0
    assert node.stop() == 0


def test_inferences_are_what_was_taken_less_what_failed(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    make_model(plant.folder / "tiny.onnx", nan_when_bright=True)
    (plant.folder / "pictures").mkdir()
    plant.camera("line_1", plant.clip(("dark", 1.0), ("bright", 1.0)), fps=0)
    node = start(plant)
    listener.wait_last("cameras/line_1/state", lambda camera: camera["state"] == "ended")
    found = eventually(
        lambda: (seen := node.metrics()).get(("edgenode_samples_held", (("model", "tiny"),))) == 0 and seen,
        "all classified",
    )
    totals = {
        name: sum(value for (each, _), value in found.items() if each == name)
        for name in (
            "edgenode_samples_taken_total",
            "edgenode_samples_failed_total",
            "edgenode_inferences_total",
        )
    }
    assert totals["edgenode_samples_taken_total"] > 0
    assert totals["edgenode_inferences_total"] == (
        totals["edgenode_samples_taken_total"] - totals["edgenode_samples_failed_total"]
    )
    assert node.stop() == 0
