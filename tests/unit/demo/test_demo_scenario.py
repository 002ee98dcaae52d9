"""What the demo configures, and what it holds to be true."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenode.demo import scenario
from edgenode.demo.scenario import Expected, scenes_of, settings_of, true_events
from edgenode.errors import ConfigurationError


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the bundled models'."""
    for name in ("line_parts", "signal_light", "stop_line"):
        (tmp_path / f"{name}.onnx").write_bytes(b"")
    monkeypatch.setattr(scenario, "MODELS", tmp_path)
    return tmp_path


def test_every_region_of_the_scenes_is_configured_with_its_model(models: Path, tmp_path: Path) -> None:
    settings = settings_of(scenes_of(7), tmp_path, 10.0, 0)
    configured = {
        (camera.name, region.name): region.model for camera in settings.cameras for region in camera.regions
    }
    assert configured == {
        ("line_1", "belt"): "line_parts",
        ("junction", "signal"): "signal_light",
        ("junction", "stop_line"): "stop_line",
    }
    assert set(settings.models) == set(configured.values())
    assert settings.mqtt.host == "embedded"


def test_the_environment_does_not_reach_into_the_demo(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGENODE__MQTT__HOST", "broker.plant.local")
    assert settings_of(scenes_of(7), tmp_path, 10.0, 0).mqtt.host == "embedded"


def test_a_missing_model_is_named_with_the_remedy(models: Path, tmp_path: Path) -> None:
    (models / "stop_line.onnx").unlink()
    with pytest.raises(ConfigurationError, match=r"stop_line\.onnx.*make demo-models"):
        settings_of(scenes_of(7), tmp_path, 10.0, 0)


def test_true_events_within_the_time_are_sure_and_cut_ones_are_not() -> None:
    scenes = scenes_of(7)
    defects = [part for part in scenes["line_1"].truth_intervals(100.0, 200.0) if part.label == "defect"]
    first = next(part for part in defects if part.start_s > 101.0)
    for start_s, end_s, expected in (
        (first.start_s - 0.1, first.end_s + 0.1, Expected(1, 1)),
        (first.start_s + 0.1, first.end_s + 0.1, Expected(0, 1)),
        (first.start_s - 0.1, first.end_s - 0.1, Expected(0, 1)),
        (first.end_s + 0.1, first.end_s + 0.2, Expected(0, 0)),
    ):
        assert true_events(scenes, start_s, end_s)["defective_part"] == expected
    assert true_events(scenes, 100.0, 300.0)["red_light_running"].least > 1
