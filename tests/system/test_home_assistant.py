"""Discovery on a real broker: kept, repeated when Home Assistant starts, taken back."""

from __future__ import annotations

import json
import signal

from tests.system.daemon import eventually
from tests.system.listener import Listener
from tests.system.plant import NODE, Plant, StartNode

DEVICE = f"homeassistant/device/{NODE}"


def kept(listener: Listener) -> set[str]:
    return {
        topic for topic, payload in listener.retained().items() if topic.startswith("homeassistant/device/")
    }


def two_cameras(plant: Plant) -> None:
    plant.sections["mqtt"]["home_assistant"] = True
    film = plant.clip(("dark", 1.0), ("bright", 1.0))
    plant.camera("gate", film, loop=True)
    plant.camera("belt", film, loop=True)
    plant.rule("bright", 'gate.frame == "bright"')


def test_discovery_is_kept_repeated_and_taken_back_by_a_reload(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    two_cameras(plant)
    node = start(plant)
    everything = {f"{DEVICE}/config", f"{DEVICE}/gate/config", f"{DEVICE}/belt/config"}
    eventually(lambda: kept(listener) == everything, "all devices are kept")
    sensor = json.loads(listener.retained()[f"{DEVICE}/gate/config"])["components"]["region_frame"]
    state = listener.wait("cameras/gate/regions/frame/state")
    assert sensor["state_topic"] == f"{listener.root}/cameras/gate/regions/frame/state"
    assert state["label"] in sensor["options"]

    def heard() -> int:
        return sum(each.topic == f"{DEVICE}/config" for each in listener.everything())

    before = heard()
    with Listener(plant.mqtt_port, "homeassistant") as home:
        home.publish("status", b"online")
        eventually(lambda: home.of("status"), "the broker passed it on")
    eventually(lambda: heard() > before, "discovery is said again when Home Assistant starts")

    plant.cameras.pop()
    plant.rules.clear()
    plant.write()
    node.signal(signal.SIGHUP)
    eventually(
        lambda: kept(listener) == everything - {f"{DEVICE}/belt/config"}, "the camera's device vanishes"
    )
    told = [each.payload for each in listener.everything() if each.topic == f"{DEVICE}/belt/config"]
    *_, parts, nothing = told
    assert json.loads(parts)["components"]["region_frame"] == {"platform": "sensor"}, (
        "its parts go first (0073)"
    )
    assert nothing == b""
    rest = json.loads(listener.retained()[f"{DEVICE}/config"])["components"]
    assert rest["rule_bright"] == {"platform": "event"}
    assert not [topic for topic in listener.retained() if topic.startswith("cameras/belt/")]
    assert node.stop() == 0


def test_what_a_former_run_announced_is_taken_back_by_the_next(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    two_cameras(plant)
    node = start(plant)
    eventually(lambda: len(kept(listener)) == 3, "all devices are kept")
    assert node.stop() == 0
    assert len(kept(listener)) == 3
    plant.sections["mqtt"]["home_assistant"] = False
    node = start(plant)
    eventually(lambda: not kept(listener), "nothing is left")
    assert node.stop() == 0
