"""`edgenode explain`: of a running node over its broker, and of a recording."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.daemon import REPOSITORY
from tests.system.listener import Listener
from tests.system.plant import Plant, StartNode

pytestmark = pytest.mark.timeout(900)


def explain(config: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "edgenode", "explain", "--config", str(config), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=90,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_running_node_says_why_there_was_an_event_and_why_not(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    source = plant.clip(("dark", 1.0), ("bright", 1.0))
    plant.camera("belt", source, fps=10, loop=True, gate="motion")
    plant.rule("shining", 'belt == "bright"', **{"for": "300ms"})
    plant.rule("patient", 'belt == "bright"', **{"for": "1h"})
    node = start(plant)
    listener.wait_events("shining", 1)
    code, text = explain(plant.config, "--rule", "patient")
    assert code == 0, text
    assert "belt.frame was" in text
    assert "the camera is online" in text or "scores" in text
    code, text = explain(plant.config, "--rule", "pateint")
    assert code == 78
    assert '(did you mean "patient"?)' in text
    assert node.stop() == 0
    code, text = explain(plant.config, "--rule", "patient", "--wait", "1")
    assert code == 1
    assert "no answer from node line-7 within 1 s" in text


def test_a_recording_is_replayed_up_to_the_moment(plant: Plant) -> None:
    plant.camera("belt", plant.clip(("dark", 2.0), ("bright", 2.0), ("dark", 1.0)), fps=10)
    plant.rule("shining", 'belt == "bright"', **{"for": "1s"})
    config = plant.write()
    code, text = explain(config, "--replay", "--rule", "shining", "--at", "1")
    assert code == 0, text
    assert "the rule was idle" in text
    _, text = explain(config, "--replay", "--rule", "shining", "--at", "2.6")
    assert "the rule was dwelling" in text
    assert "of the 1 s that it must" in text
    assert "it became active" in text, "what came of it two seconds later"
    _, text = explain(config, "--replay", "--rule", "shining", "--at", "3.5")
    assert "an event was open" in text
    code, text = explain(config, "--replay", "--rule", "shining", "--at", "noon")
    assert code == 2
    assert "which second of the recording" in text
