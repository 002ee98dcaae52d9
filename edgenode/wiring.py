"""From settings to parts: which model serves which region, and how its pixels are cut."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgenode.collect_setup import wants_frames
from edgenode.decision_setup import model_of, regions_of
from edgenode.errors import ConfigurationError, EdgeNodeError, ProviderError
from edgenode.inference.card import InputSpec, ModelCard
from edgenode.records import U8, Planes
from edgenode.settings import CameraSettings, Settings

MODEL_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")

if TYPE_CHECKING:
    from edgenode.capture.camera import CameraSpec
    from edgenode.capture.regions import RegionCutter
    from edgenode.inference.classifier import Classifier, ClassifierOptions
    from edgenode.inference.signature import Trust

log = logging.getLogger(__name__)


def installed_model(state_dir: Path, name: str) -> Path | None:
    """The store's active file of model `name`."""
    from edgenode.inference.store import ModelStore

    active = ModelStore(state_dir).active(name)
    return active.path if active is not None else None


def configured_file(settings: Settings, name: str, base_dir: Path) -> Path | None:
    """The file beside the configuration that `models.<name>.file` is; None where it names an installed model.

    Raises OSError where it cannot be looked at.
    """
    beside = base_dir / settings.models[name].file.expanduser()
    # a folder of pictures may well have the model's name
    return beside if beside.exists() and not beside.is_dir() else None


def model_path(
    settings: Settings,
    name: str,
    base_dir: Path,
    installed: Callable[[Path, str], Path | None] = installed_model,
) -> Path | None:
    """The file of model `name`: beside the configuration, else the one installed under the name that `file`
    is. A file beside the configuration that was taken over into the store gives way to what is active there.

    None: neither. `installed` takes the state folder and a name. Raises EdgeNodeError, OSError.
    """
    state_dir = base_dir / settings.node.state_dir
    beside = configured_file(settings, name, base_dir)
    if beside is not None:
        pinned = settings.models[name].sha256 is not None
        return beside if pinned else _active_instead(state_dir, beside) or beside
    file = str(settings.models[name].file)
    if MODEL_NAME.fullmatch(file) is None:
        return None
    return installed(state_dir, file)


def _active_instead(state_dir: Path, beside: Path) -> Path | None:
    """The active file of the model that `beside` was taken over as, or is in quarantine as."""
    from edgenode.inference.onnx_file import file_sha256
    from edgenode.inference.store_files import ACTIVE, CONFIGURED, QUARANTINED, entries, read_pointer

    sha256: str | None = None
    try:
        for folder in entries(state_dir / "models"):
            active = read_pointer(folder, ACTIVE) if MODEL_NAME.fullmatch(folder.name) else None
            if active is None or not (folder / f"{active}.onnx").is_file():
                continue
            sha256 = sha256 or file_sha256(beside)
            if read_pointer(folder, CONFIGURED) == sha256 or (folder / f"{sha256}{QUARANTINED}").exists():
                return folder / f"{active}.onnx"
    except (
        OSError,
        EdgeNodeError,
    ):  # not the node's own user, or the file cannot be read, which loading tells
        return None
    return None


def trust_of(settings: Settings, base_dir: Path) -> Trust:
    """Whose signatures of models count. Raises ConfigurationError."""
    from edgenode.inference.signature import trusted

    rollout = settings.rollout
    try:
        return trusted(
            [base_dir / path.expanduser() for path in rollout.trusted_keys], rollout.require_signature
        )
    except EdgeNodeError as error:
        raise ConfigurationError([f"rollout.trusted_keys: {error}"]) from error


def classifier_options(settings: Settings, base_dir: Path, model: str | None = None) -> ClassifierOptions:
    """How a model is loaded here; `model`: the name it serves under. Raises ConfigurationError."""
    from edgenode.inference.classifier import ClassifierOptions

    return ClassifierOptions(
        threads=settings.inference.threads,
        provider=settings.inference.provider,
        expected_sha256=settings.models[model].sha256 if model is not None else None,
        run_timeout_s=settings.inference.run_timeout,
        name=model,
        trust=trust_of(settings, base_dir),
    )


def load_classifiers(
    settings: Settings, base_dir: Path, only: set[str] | None = None
) -> dict[str, Classifier]:
    """Load every configured model (or those in `only`) and run its golden vector.

    Raises ConfigurationError naming every model that is refused; what was loaded by then is closed.
    """
    loaded: dict[str, Classifier] = {}
    problems: list[str] = []
    trust_of(settings, base_dir)
    for name, model in settings.models.items():
        if only is not None and name not in only:
            continue
        try:
            path = model_path(settings, name, base_dir)
            if path is None:
                problems.append(f"models.{name}.file: no file {base_dir / model.file}, and none is installed")
                continue
            loaded[name] = load_classifier(path, classifier_options(settings, base_dir, name))
        except (EdgeNodeError, OSError) as error:
            problems.append(f"models.{name}.file: {error}")
    if problems:
        for classifier in loaded.values():
            classifier.close()
        raise ConfigurationError(problems)
    return loaded


def load_classifier(path: Path, options: ClassifierOptions) -> Classifier:
    """On the provider asked for; without it on the processor, which is told: a slow node is better than none."""
    from edgenode.inference.classifier import Classifier

    try:
        return Classifier.load(path, options)
    except ProviderError as error:
        log.warning("%s; the model runs on the processor instead", error)
        return Classifier.load(path, replace(options, provider="cpu"))


def fallen_back(settings: Settings, classifiers: Mapping[str, Classifier]) -> str:
    """Which models do not run on the provider asked for, as a sentence; empty where all do."""
    wanted = settings.inference.provider
    names = sorted(name for name, classifier in classifiers.items() if classifier.provider != wanted)
    return f"{wanted} is not available: {', '.join(names)} on the processor instead" if names else ""


def preparer(spec: InputSpec) -> Callable[[U8], U8]:
    """`pixels.prepare` bound to one model's input: what capture calls without knowing of models."""
    from edgenode.inference.pixels import prepare

    return partial(prepare, spec=spec)


def plane_preparer(spec: InputSpec) -> Callable[[Planes], U8 | None]:
    """The same of `pixels.prepare_planes`."""
    from edgenode.inference.pixels import prepare_planes

    return partial(prepare_planes, spec=spec)


def cutters_of(
    camera: CameraSettings, settings: Settings, cards: Mapping[str, ModelCard]
) -> tuple[RegionCutter, ...]:
    from edgenode.capture.regions import RegionCutter

    return tuple(
        RegionCutter(
            region.name, model, region, preparer(cards[model].input), plane_preparer(cards[model].input)
        )
        for region in regions_of(camera)
        if (model := model_of(region, settings)) is not None
    )


def camera_spec(
    camera: CameraSettings,
    settings: Settings,
    cards: Mapping[str, ModelCard],
    base_dir: Path,
    realtime: bool = True,
) -> CameraSpec:
    from edgenode.capture.camera import CameraSpec

    wanted = any(rule.snapshot for rule in settings.rules) or wants_frames(settings, camera.name)
    keep = SNAPSHOT_FRAMES if wanted else 0
    return CameraSpec(
        settings=camera,
        cutters=cutters_of(camera, settings, cards),
        base_dir=base_dir,
        keep_frames=keep,
        realtime=realtime,
    )


SNAPSHOT_FRAMES = 4
"""Classified frames kept per camera for evidence and for `[collect]`: an answer follows its frame by one to
three."""


def models_by_region(settings: Settings) -> dict[tuple[str, str], str]:
    """(camera, region) to model name, for every enabled or disabled camera, in the order of the file."""
    return {
        (camera.name, region.name): model
        for camera in settings.cameras
        for region in regions_of(camera)
        if (model := model_of(region, settings)) is not None
    }


def cards_of(classifiers: Mapping[str, Classifier]) -> dict[str, ModelCard]:
    return {name: classifier.card for name, classifier in classifiers.items()}


def close_all(classifiers: Mapping[str, Classifier]) -> None:
    """For a start that failed; the pipeline closes those it got, and closing twice is harmless."""
    for classifier in classifiers.values():
        classifier.close()
