"""Line quality prediction on the drawn line whose tool wears (`docs/examples/line_quality.toml`).

The tool wears from part 150 on, which passes after about eight minutes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenode.capture.scenes import scene_named
from tests.profiles import REPOSITORY, seen, steps, workplace

LENGTH_S = 1200.0

pytestmark = pytest.mark.timeout(900)


def test_a_drift_is_reported_before_the_limit_is_crossed_and_not_before_it_begins(tmp_path: Path) -> None:
    model = REPOSITORY / "edgenode" / "demo" / "models" / "line_parts.onnx"
    config = workplace(tmp_path, "line_quality.toml", {"line_parts.onnx": model})
    events = seen(steps(config, "--until", str(LENGTH_S)))
    first = {event.rule: event for event in reversed(events)}
    wear_begins_s = 440.0
    assert wear_begins_s < first["drift"].start_s < first["limit"].start_s - 120.0
    assert wear_begins_s < first["out_of_control"].start_s < first["limit"].start_s - 120.0
    assert first["limit"].value is not None
    assert first["limit"].value > 0.3

    truth = scene_named("wearing_line", 5).truth_intervals(0.0, LENGTH_S)
    defects = [each for each in truth if each.label == "defect" and each.end_s - each.start_s > 0.7]
    found = [event for event in events if event.rule == "defective_part"]
    missed = [
        part
        for part in defects
        if not any(part.start_s - 0.7 <= e.start_s <= part.end_s + 0.4 for e in found)
    ]
    assert len(defects) > 50
    assert len(missed) <= 0.02 * len(defects), missed
    assert len(found) <= 1.02 * len(defects) + 1
