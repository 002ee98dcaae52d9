"""The classifiers a node needs for other settings, and what is measured of those that serve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgenode.errors import EdgeNodeError
from edgenode.inference.onnx_file import file_sha256
from edgenode.settings import Settings
from edgenode.telemetry.drift import ModelDrift
from edgenode.wiring import load_classifiers, model_path

if TYPE_CHECKING:
    from edgenode.inference.classifier import Classifier


def classifiers_for(
    settings: Settings, base_dir: Path, former: Settings, serving: Mapping[str, Classifier]
) -> dict[str, Classifier]:
    """The classifiers `settings` asks for; those in `serving` that are of the same file already are kept.

    Raises ConfigurationError.
    """
    kept: dict[str, Classifier] = {}
    if settings.inference == former.inference and _trust(settings) == _trust(former):
        kept = {
            name: serving[name]
            for name in settings.models
            if name in serving and serving[name].identity.sha256 == _file_sha256(settings, name, base_dir)
        }
    fresh = load_classifiers(settings, base_dir, only=set(settings.models) - set(kept))
    return {name: kept.get(name) or fresh[name] for name in settings.models}


def close_unused(classifiers: Mapping[str, Classifier], serving: Mapping[str, Classifier]) -> None:
    """For settings that were refused: close what was loaded for them."""
    for name, classifier in classifiers.items():
        if serving.get(name) is not classifier:
            classifier.close()


def drift_monitors(classifiers: Mapping[str, Classifier]) -> dict[str, ModelDrift]:
    """A monitor for each model whose card says how its answers lay on the validation part."""
    return {
        name: ModelDrift(
            classifier.identity.sha256,
            classifier.card.drift.confidence_histogram,
            classifier.card.drift.embedding,
        )
        for name, classifier in classifiers.items()
        if classifier.card.drift is not None
    }


def _file_sha256(settings: Settings, name: str, base_dir: Path) -> str | None:
    """Of the file that model `name` is loaded from; None where it cannot be read, which loading tells."""
    try:
        path = model_path(settings, name, base_dir)
        return file_sha256(path) if path is not None else None
    except (OSError, EdgeNodeError):
        return None


def _trust(settings: Settings) -> tuple[object, ...]:
    """What of the settings says whether a model is let in."""
    return (settings.rollout.require_signature, settings.rollout.trusted_keys)
