"""Models come, serve, and go while a node works: over MQTT, by the command line and by reload."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgenode.cli import main
from edgenode.inference.card import DriftReference
from tests.broken_models import DEFECTS
from tests.clips import write_clip
from tests.models import ENDLESS, better_than, file_sha256, make_model
from tests.system.daemon import Daemon, eventually
from tests.system.listener import Listener
from tests.system.plant import Plant, StartNode


@pytest.fixture
def line(plant: Plant) -> Plant:
    """One camera that shows dark and bright in turn, and a folder from which models may come."""
    (plant.folder / "incoming").mkdir()
    plant.sections["rollout"] = {"incoming": "incoming", "shadow_samples": 20, "probation": "1h"}
    plant.sections["inference"] = {"run_timeout": "20s"}
    plant.camera("line_1", plant.clip(("dark", 0.6), ("bright", 0.6)), loop=True, fps=20)
    return plant


def incoming(plant: Plant, name: str = "new", **options: Any) -> Path:
    return make_model(plant.folder / "incoming" / f"{name}.onnx", **options)


def glaring_clip(path: Path) -> Path:
    """Brighter than any golden input: where models made to fail on bright pictures fail."""
    pictures = []
    for number in range(50):
        picture = np.full((48, 64, 3), 255, dtype=np.uint8)
        picture[20:24, number : number + 8] = 0
        pictures.append(picture)
    return write_clip(path, pictures, 25, gop=25)


def install(listener: Listener, file: Path, then: str = "nothing") -> dict[str, Any]:
    return listener.ask("model_install", model="tiny", url=file.as_uri(), sha256=file_sha256(file), then=then)


def begin(plant: Plant, listener: Listener, start: StartNode) -> Daemon:
    """A node that works and hears commands: before its broker knows it, a command would go to nobody."""
    heard = len(listener.of("models/tiny"))
    node = start(plant).wait_until_ready()
    eventually(lambda: len(listener.of("models/tiny")) > heard, "the node's connection")
    return node


def classified(node: Daemon) -> float:
    return node.metric("edgenode_inferences_total")


def still_serves(node: Daemon, sha256: str) -> None:
    """`sha256` serves, and goes on answering."""
    assert node.status()["models"]["tiny"]["sha256"] == sha256
    before = classified(node)
    eventually(lambda: classified(node) > before, "it goes on answering")


def nothing_lost(node: Daemon) -> None:
    """Every sample that was taken was answered, and the law of hand-off A holds."""
    metrics = node.metrics()
    total = {
        name: sum(value for (found, _), value in metrics.items() if found == name)
        for name in (
            "edgenode_samples_offered_total",
            "edgenode_samples_taken_total",
            "edgenode_samples_dropped_total",
            "edgenode_samples_held",
            "edgenode_samples_failed_total",
            "edgenode_inferences_total",
        )
    }
    assert total["edgenode_samples_failed_total"] == 0
    assert total["edgenode_samples_offered_total"] == (
        total["edgenode_samples_taken_total"]
        + total["edgenode_samples_dropped_total"]
        + total["edgenode_samples_held"]
    )
    assert 0 <= total["edgenode_samples_taken_total"] - total["edgenode_inferences_total"] <= 8, "one batch"


def test_a_model_is_installed_promoted_and_taken_back_by_command(
    line: Plant, listener: Listener, start: StartNode
) -> None:
    node = begin(line, listener, start)
    first = line.folder / "tiny.onnx"
    old = file_sha256(first)
    listener.wait("models/tiny", lambda model: model["sha256"] == old)
    file = incoming(line, version="2", comparison=better_than(first))
    new = file_sha256(file)

    wrong = listener.ask("model_install", model="tiny", url=file.as_uri(), sha256="0" * 64)
    assert "not the file you meant" in wrong["error"]["message"]
    for url in ("http://127.0.0.1/m.onnx", "https://127.0.0.1:1/m.onnx", first.as_uri(), "file:///dev/zero"):
        assert listener.ask("model_install", url=url, sha256=new)["error"]["code"] == "failed"
    still_serves(node, old)

    done = install(listener, file)
    assert done["status"] == "ok", done
    assert done["data"] == {
        "name": "tiny", "sha256": new, "bytes": file.stat().st_size,
        "active": False, "previous": False, "shadow": False,
    }  # fmt: skip
    still_serves(node, old)
    assert listener.ask("model_activate", model="tiny", sha256=new[:8])["data"]["active"]
    told = listener.wait("models/tiny", lambda model: model["sha256"] == new)
    assert (told["change"]["what"], told["change"]["by"], told["change"]["before_sha256"]) == (
        "activated", "command", old,
    )  # fmt: skip
    listener.wait("cameras/line_1/regions/frame/classification", lambda raw: raw["model"]["sha256"] == new)
    assert listener.ask("model_rollback", model="tiny")["data"]["sha256"] == old
    still_serves(node, old)
    assert listener.ask("model_rollback", model="tiny")["data"]["sha256"] == new
    still_serves(node, new)
    nothing_lost(node)
    assert list(line.folder.glob("state/models/.incoming-*")) == []

    other = incoming(line, "other", version="3")
    assert install(listener, other)["status"] == "ok"
    refused = listener.ask("model_activate", model="tiny", sha256=file_sha256(other))
    assert "not promoted: its card holds no comparison" in refused["error"]["message"]
    assert listener.ask("model_activate", model="tinny", sha256=new)["error"]["code"] == "unknown_model"
    still_serves(node, new)
    assert node.stop() == 0

    node = begin(line, listener, start)
    assert node.status()["models"]["tiny"]["sha256"] == new, "what was activated serves after a restart"
    assert node.stop() == 0


def test_the_command_line_and_a_reload_do_the_same(line: Plant, listener: Listener, start: StartNode) -> None:
    def edgenode(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["model", *arguments, "--config", str(line.config)])
        return f"{result.exit_code} {result.output}"

    def reload() -> None:
        assert listener.ask("reload")["data"]["applied"]

    node = begin(line, listener, start)
    old = file_sha256(line.folder / "tiny.onnx")
    file = incoming(line, version="2")
    new = file_sha256(file)
    assert edgenode("install", str(file)).startswith("0 installed")
    assert "is not promoted" in edgenode("activate", "tiny", new)
    assert edgenode("activate", "tiny", new, "--force").startswith("0 forced: its card holds no comparison")
    assert "active" in edgenode("list")
    reload()
    told = listener.wait("models/tiny", lambda model: model["sha256"] == new)
    assert told["change"]["reason"] == "forced past the gate at the gateway"
    still_serves(node, new)
    assert edgenode("rollback", "tiny").startswith("0")
    reload()
    still_serves(node, old)
    assert edgenode("shadow", "tiny", new[:8]).startswith("0")
    node.signal(signal.SIGHUP)
    told = listener.wait("models/tiny", lambda model: model["shadow"] and model["shadow"]["sha256"] == new)
    assert edgenode("shadow", "tiny", "--end").startswith("0")
    reload()
    listener.wait_last("models/tiny", lambda model: model["shadow"] is None)
    nothing_lost(node)
    assert node.stop() == 0


@pytest.mark.slow
def test_a_shadow_is_measured_and_promoted_when_it_agrees(
    line: Plant, listener: Listener, start: StartNode
) -> None:
    line.sections["rollout"] |= {"shadow_share": 1.0}
    node = begin(line, listener, start)
    same = incoming(line, version="2")
    sha256 = file_sha256(same)
    assert install(listener, same, then="shadow")["data"]["shadow"]
    refused = listener.ask("model_activate", model="tiny", sha256=sha256)["error"]["message"]
    assert "as shadow it answered" in refused
    eventually(lambda: node.metric("edgenode_shadow_samples_total", result="agreed") >= 20, "agreement")
    assert listener.ask("model_activate", model="tiny", sha256=sha256)["data"]["active"]
    still_serves(node, sha256)
    told = listener.wait_last("models/tiny", lambda model: model["sha256"] == sha256)
    assert told["shadow"] is None, "what serves is no shadow"

    turned = incoming(line, "turned", version="3", prototypes=((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    assert install(listener, turned, then="shadow")["data"]["shadow"]
    eventually(lambda: node.metric("edgenode_shadow_samples_total", result="disagreed") >= 20, "disagreement")
    told = listener.wait("models/tiny", lambda model: model["shadow"] and model["shadow"]["disagreements"])
    example = told["shadow"]["disagreements"][0]
    assert {example["serving"], example["shadow"]} == {"dark", "bright"}
    refused = listener.ask("model_activate", model="tiny", sha256=file_sha256(turned))["error"]["message"]
    assert "as shadow it agreed on 0.0%" in refused
    still_serves(node, sha256)
    nothing_lost(node)
    assert node.stop() == 0


@pytest.mark.parametrize(
    ("kind", "options", "quarantined"),
    [
        ("timeout", {"trips_when_bright": ENDLESS}, True),
        pytest.param("non_finite", {"nan_when_bright": True}, True, marks=pytest.mark.slow),
        pytest.param("slow", {"trips_when_bright": 60_000}, False, marks=pytest.mark.slow),
        pytest.param(
            "drift",
            {"drift": DriftReference(confidence_histogram=[1.0, 0.0])},
            False,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_model_that_turns_out_bad_goes_back_by_itself(
    line: Plant, listener: Listener, start: StartNode, kind: str, options: dict[str, Any], quarantined: bool
) -> None:
    line.cameras.clear()
    line.camera("line_1", glaring_clip(line.folder / "glaring.mp4").name, loop=True, fps=0)
    line.sections["rollout"] |= {"sample_budget": "10ms"}
    line.sections["inference"] |= {"run_timeout": "2s" if kind == "timeout" else "20s"}
    first = line.folder / "tiny.onnx"
    node = begin(line, listener, start)
    old = file_sha256(first)
    bad = incoming(line, version="2", comparison=better_than(first), **options)
    assert install(listener, bad, then="activate")["status"] == "ok"
    told = listener.wait("models/tiny", lambda model: (model["change"] or {}).get("what") == "rolled_back")
    assert told["sha256"] == old
    assert told["change"]["reason"].startswith(f"{kind}: ")
    listener.wait(
        "events/_models", lambda event: (event["label"], event["event_type"]) == ("rolled_back", "end")
    )
    assert node.metric("edgenode_model_rollbacks_total", model="tiny", reason=kind) == 1
    still_serves(node, old)
    again = listener.ask("model_activate", model="tiny", sha256=file_sha256(bad))
    assert again["status"] == ("error" if quarantined else "ok"), again
    if quarantined:
        assert "quarantine" in again["error"]["message"]
        refused = install(listener, bad)
        assert "quarantine" in refused["error"]["message"]
    assert node.stop() == 0


def test_a_bad_model_in_every_known_way_changes_nothing(
    line: Plant, listener: Listener, start: StartNode
) -> None:
    """By command, by the command line and by a replaced file with a reload: refused, and no gap in the answers."""
    line.sections["commands"] = {"rate": 100.0}
    line.write()
    node = begin(line, listener, start)
    good = line.folder / "tiny.onnx"
    keep, old = good.read_bytes(), file_sha256(good)
    heard = "cameras/line_1/regions/frame/classification"
    for defect in DEFECTS:
        bad = incoming(line, defect, defect=defect)
        refused = install(listener, bad, then="activate")
        assert refused["status"] == "error", defect
        assert refused["error"]["code"] == "failed", refused
        assert refused["error"]["message"], defect
        by_hand = CliRunner().invoke(
            main, ["model", "install", str(bad), "--activate", "--force", "--config", str(line.config)]
        )
        assert by_hand.exit_code == 1, (defect, by_hand.output)
        good.write_bytes(bad.read_bytes())
        refused = listener.ask("reload")
        assert refused["error"]["code"] == "refused", (defect, refused)
        assert "tiny.onnx" in refused["error"]["message"] or "models.tiny" in refused["error"]["message"]
        assert node.status()["models"]["tiny"]["sha256"] == old, defect
    good.write_bytes(keep)
    still_serves(node, old)
    nothing_lost(node)
    assert {each.json["model"]["sha256"] for each in listener.of(heard)} == {old}
    models = json.loads(node.get("/status.json")[1])["samples"]["tiny"]["dropped"]
    assert "closed" not in models
    assert len(DEFECTS) >= 20
    assert node.stop() == 0
