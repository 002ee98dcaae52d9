"""From settings to parts: which model serves which region, and how its pixels are cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgenode.errors import ConfigurationError, EdgeNodeError
from edgenode.inference.card import InputSpec, ModelCard
from edgenode.records import U8
from edgenode.settings import CameraSettings, RegionSettings, RuleSettings, Settings

if TYPE_CHECKING:
    from edgenode.capture.camera import CameraSpec
    from edgenode.capture.regions import RegionCutter
    from edgenode.inference.classifier import Classifier

WHOLE_FRAME = RegionSettings()
"""What a camera without regions has: one region `frame`, the whole picture, for the only model."""


def regions_of(camera: CameraSettings) -> list[RegionSettings]:
    return camera.regions or [WHOLE_FRAME]


def model_of(region: RegionSettings, settings: Settings) -> str:
    """The name of the model that serves `region`. Raises ConfigurationError where it cannot be told."""
    if region.model is not None:
        return region.model
    if len(settings.models) == 1:
        return next(iter(settings.models))
    raise ConfigurationError([f"region {region.name!r} names no model and there are {len(settings.models)}"])


def model_path(settings: Settings, name: str, base_dir: Path) -> Path:
    """Where the file of model `name` lies: relative paths start at the configuration's directory."""
    return base_dir / settings.models[name].file.expanduser()


def load_classifiers(
    settings: Settings, base_dir: Path, only: set[str] | None = None
) -> dict[str, Classifier]:
    """Load every configured model (or those in `only`) and run its golden vector.

    Raises ConfigurationError naming every model that is refused; what was loaded by then is closed.
    """
    from edgenode.inference.classifier import Classifier, ClassifierOptions

    loaded: dict[str, Classifier] = {}
    problems: list[str] = []
    for name, model in settings.models.items():
        if only is not None and name not in only:
            continue
        options = ClassifierOptions(
            threads=settings.inference.threads,
            provider=settings.inference.provider,
            expected_sha256=model.sha256,
            run_timeout_s=settings.inference.run_timeout,
        )
        try:
            loaded[name] = Classifier.load(model_path(settings, name, base_dir), options)
        except EdgeNodeError as error:
            problems.append(f"models.{name}.file: {error}")
    if problems:
        for classifier in loaded.values():
            classifier.close()
        raise ConfigurationError(problems)
    return loaded


def preparer(spec: InputSpec) -> Callable[[U8], U8]:
    """`pixels.prepare` bound to one model's input: what capture calls without knowing of models."""
    from edgenode.inference.pixels import prepare

    return partial(prepare, spec=spec)


def cutters_of(
    camera: CameraSettings, settings: Settings, cards: Mapping[str, ModelCard]
) -> tuple[RegionCutter, ...]:
    from edgenode.capture.regions import RegionCutter

    return tuple(
        RegionCutter(region.name, model, region, preparer(cards[model].input))
        for region in regions_of(camera)
        for model in [model_of(region, settings)]
    )


def camera_spec(
    camera: CameraSettings,
    settings: Settings,
    cards: Mapping[str, ModelCard],
    base_dir: Path,
    realtime: bool = True,
) -> CameraSpec:
    from edgenode.capture.camera import CameraSpec

    keep = SNAPSHOT_FRAMES if any(wants_snapshot(rule, camera.name) for rule in settings.rules) else 0
    return CameraSpec(
        settings=camera,
        cutters=cutters_of(camera, settings, cards),
        base_dir=base_dir,
        keep_frames=keep,
        realtime=realtime,
    )


SNAPSHOT_FRAMES = 4
"""Classified frames kept per camera for evidence: a decision follows its frame by one to three frames."""


def wants_snapshot(rule: RuleSettings, camera: str) -> bool:
    """Whether `rule` may ask for a picture of `camera`. An unqualified region name may mean any camera."""
    del camera
    return rule.snapshot


def models_by_region(settings: Settings) -> dict[tuple[str, str], str]:
    """(camera, region) to model name, for every enabled or disabled camera, in the order of the file."""
    return {
        (camera.name, region.name): model_of(region, settings)
        for camera in settings.cameras
        for region in regions_of(camera)
    }
