"""Red-light running on the drawn junction (`docs/examples/red_light.toml`), judged by the scene's own truth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgenode.capture.scenes import scene_named
from tests.profiles import REPOSITORY, edgenode, workplace

MODELS = REPOSITORY / "edgenode" / "demo" / "models"
SEED, LENGTH_S = 3, 240.0

pytestmark = pytest.mark.timeout(900)


def red_light_runnings() -> list[tuple[float, float]]:
    """When a vehicle was on the stop line while the signal was red."""
    truth = scene_named("junction", SEED).truth_intervals(0.0, LENGTH_S)
    reds = [each for each in truth if (each.region, each.label) == ("signal", "red")]
    cars = [each for each in truth if (each.region, each.label) == ("stop_line", "vehicle")]
    return [
        (max(car.start_s, red.start_s), min(car.end_s, red.end_s))
        for car in cars
        for red in reds
        if min(car.end_s, red.end_s) - max(car.start_s, red.start_s) > 0.0
    ]


def test_every_runner_is_reported_once_and_replay_scores_itself(tmp_path: Path) -> None:
    models = {f"{name}.onnx": MODELS / f"{name}.onnx" for name in ("signal_light", "stop_line")}
    config = workplace(tmp_path, "red_light.toml", models)
    runnings = red_light_runnings()
    assert len(runnings) >= 5
    truth = tmp_path / "truth.csv"
    rows = [
        f"synthetic:junction?seed={SEED}&fps=10,red_light_running,run,{begin_s:.3f},{end_s:.3f}"
        for begin_s, end_s in runnings
    ]
    truth.write_text("\n".join(["clip,region,label,start_s,end_s", *rows]) + "\n")
    timeline = tmp_path / "timeline.png"
    printed = edgenode(
        config, "replay", "--until", str(LENGTH_S), "--truth", truth, "--timeline", timeline, "--json"
    )
    score = json.loads(printed)["score"]["rules"]["red_light_running"]
    assert score["f1"] == 1.0, score
    assert all(abs(pair["start_error_s"]) <= 0.5 for pair in score["pairs"])
    assert timeline.read_bytes().startswith(b"\x89PNG")


def test_comparison_tells_what_a_longer_dwell_would_have_cost(tmp_path: Path) -> None:
    models = {f"{name}.onnx": MODELS / f"{name}.onnx" for name in ("signal_light", "stop_line")}
    config = workplace(tmp_path, "red_light.toml", models)
    other = tmp_path / "patient.toml"
    other.write_text(config.read_text().replace('for = "200ms"', 'for = "900ms"'))
    printed = edgenode(config, "replay", "--until", "100", "--compare", other, "--json")
    comparison = json.loads(printed)["comparison"]
    assert comparison["only_there"] == []
    here = [round(each["start_s"]) for each in comparison["only_here"] + comparison["both"]]
    assert sorted(here) == [35, 51, 95]
    assert [round(each["start_s"]) for each in comparison["only_here"]] == [35, 51]
    assert [round(each["start_there_s"]) for each in comparison["both"]] == [95]
