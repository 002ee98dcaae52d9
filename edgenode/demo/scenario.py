"""What the demo shows: two drawn cameras, three models, two rules, and what the scenes say is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgenode.capture.scenes import Scene, TruthInterval, scene_named
from edgenode.errors import ConfigurationError
from edgenode.records import Severity
from edgenode.settings import (
    CameraSettings,
    CommandSettings,
    GivenSettings,
    HttpSettings,
    ModelSettings,
    MqttSettings,
    NodeSettings,
    RegionSettings,
    RuleSettings,
    Settings,
    SmoothingSettings,
)

MODELS = Path(__file__).parent / "models"
CAMERAS = {"line_1": "line", "junction": "junction"}
"""Camera name to scene name."""
DEFECTIVE_PART, RED_LIGHT_RUNNING = "defective_part", "red_light_running"


@dataclass(frozen=True, slots=True)
class Expected:
    """How many events a faultless model reports: what lies wholly within the time surely, what is cut by its
    start or its end perhaps."""

    least: int
    most: int


def scenes_of(seed: int) -> dict[str, Scene]:
    """Camera name to the scene it looks at."""
    return {camera: scene_named(name, seed) for camera, name in CAMERAS.items()}


def settings_of(scenes: Mapping[str, Scene], state_dir: Path, fps: float, http_port: int) -> Settings:
    """The configuration of the demo's node. Raises ConfigurationError where a bundled model is missing."""
    models = sorted({region.model_name for scene in scenes.values() for region in scene.regions.values()})
    missing = [name for name in models if not (MODELS / f"{name}.onnx").is_file()]
    if missing:
        raise ConfigurationError(
            [
                f"{MODELS / name}.onnx: the demo's model is missing; make it with `make demo-models`"
                for name in missing
            ]
        )
    return GivenSettings(
        node=NodeSettings(name="demo", state_dir=state_dir, drain=2.0),
        mqtt=MqttSettings(host="embedded"),
        http=HttpSettings(listen=f"127.0.0.1:{http_port}"),
        # any page in a browser may speak to a broker on loopback that asks for no password
        commands=CommandSettings(disabled=["reload", "model_install", "model_activate", "model_rollback"]),
        models={name: ModelSettings(file=MODELS / f"{name}.onnx") for name in models},
        cameras=[_camera(name, scene, fps) for name, scene in scenes.items()],
        rules=[
            RuleSettings(
                name=DEFECTIVE_PART,
                when='line_1.belt == "defect"',
                for_=0.3,
                severity=Severity.WARNING,
                snapshot=True,
            ),
            RuleSettings(
                name=RED_LIGHT_RUNNING,
                when='junction.signal == "red" and junction.stop_line == "vehicle"',
                for_=0.2,
                severity=Severity.CRITICAL,
                snapshot=True,
            ),
        ],
    )


def true_events(scenes: Mapping[str, Scene], start_s: float, end_s: float) -> dict[str, Expected]:
    """How many events of each rule there were between two instants (monotonic seconds, the scenes' own)."""
    parts = scenes["line_1"].truth_intervals(start_s, end_s)
    junction = scenes["junction"].truth_intervals(start_s, end_s)
    reds = [each for each in junction if each.region == "signal" and each.label == "red"]
    cars = [each for each in junction if each.region == "stop_line" and each.label == "vehicle"]
    return {
        DEFECTIVE_PART: _counted([part for part in parts if part.label == "defect"], start_s, end_s),
        RED_LIGHT_RUNNING: _counted(
            [car for car in cars if any(red.start_s < car.end_s and car.start_s < red.end_s for red in reds)],
            start_s,
            end_s,
        ),
    }


def _counted(found: Sequence[TruthInterval], start_s: float, end_s: float) -> Expected:
    whole = [each for each in found if each.start_s > start_s and each.end_s < end_s]
    return Expected(len(whole), len(found))


def _camera(name: str, scene: Scene, fps: float) -> CameraSettings:
    return CameraSettings(
        name=name,
        source=f"synthetic:{scene.name}?seed={scene.seed}&fps={fps:g}",
        fps=fps,
        regions=[
            RegionSettings(
                name=region,
                model=found.model_name,
                box=found.box,
                smoothing=SmoothingSettings(window=0.25, enter=0.6, leave=0.4),
            )
            for region, found in scene.regions.items()
        ],
    )
