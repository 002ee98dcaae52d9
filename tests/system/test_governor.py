"""A node that may not let its samples wait lowers its cameras' frame rates, those of the lowest priority first."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from edgenode.configuration.file import load
from edgenode.node import energy
from edgenode.node.node import Node
from tests.system.daemon import eventually
from tests.system.plant import Plant


def shares(node: Node) -> dict[str, float]:
    return {
        sample.labels["camera"]: sample.value
        for family in node.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "edgenode_governor_share"
    }


def test_a_target_that_cannot_be_held_slows_the_least_important_camera_first(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    nothing_left_behind: None,
) -> None:
    monkeypatch.setattr(energy, "EVERY_S", 0.5)
    plant = Plant(tmp_path, 1)
    plant.sections["http"]["listen"] = "127.0.0.1:0"
    plant.sections["node"]["drain"] = "100ms"
    plant.sections["energy"] = {"target_p95": "1ms", "slowest": 0.5, "idle_watts": 5.0, "core_watts": 4.0}
    clip = plant.clip(("dark", 0.5), ("bright", 0.5))
    plant.camera("spare", clip, loop=True, fps=0, priority=1)
    plant.camera("gate", clip, loop=True, fps=0, priority=9)
    loaded = load(plant.write(), {})
    node = Node(loaded.settings, loaded.base_dir)
    stop, seen = threading.Event(), list[tuple[float, float]]()
    supervisor = threading.Thread(target=node.supervise, args=(stop,), name="supervisor")

    def both_slowed() -> bool:
        now = shares(node)
        seen.append((now.get("spare", 1.0), now.get("gate", 1.0)))
        return seen[-1] == (0.5, 0.5)

    with caplog.at_level(logging.WARNING):
        node.start()
        supervisor.start()
        try:
            eventually(both_slowed, "both cameras are at their slowest")
        finally:
            stop.set()
            supervisor.join()
            node.stop()
    assert all(spare <= gate for spare, gate in seen)
    assert any(spare == 0.5 and gate > 0.5 for spare, gate in seen), "one after the other"
    assert "frame rates are lowered: p95" in caplog.text
