"""`edgenode worklist`: the pictures of a folder, the most probable cases first."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgenode.cli import config_option, proven
from edgenode.errors import ConfigurationError, PictureError
from edgenode.nearest import suggestion
from edgenode.records import UNKNOWN

if TYPE_CHECKING:
    from edgenode.inference.card import ModelCard
    from edgenode.settings import CameraSettings, Settings

NOT_MEDICAL = "An order to look at pictures in, no finding. Not a medical device, not for diagnosis."


@dataclass(frozen=True, slots=True)
class Case:
    """One picture. `decided` is the most probable label, or `unknown` where the model abstains."""

    file: str
    probability: float
    """Of the label the list is ordered by."""
    decided: str
    confidence: float
    """Of the most probable label."""


@click.command("worklist")
@config_option
@click.option(
    "--camera", "name", help="The camera that watches a folder; may be left out if there is only one."
)
@click.option("--label", required=True, help="Order by this label's probability, highest first.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object instead of lines.")
def worklist_command(config_path: Path, name: str | None, label: str, as_json: bool) -> None:
    """List the pictures of a watched folder by the probability of LABEL, and say where the model abstains.

    An order to look at pictures in, no finding. Not a medical device.
    """
    loaded = proven(config_path)
    camera = _watching(loaded.settings, loaded.base_dir, name)
    cases, damaged = worklist(loaded.settings, loaded.base_dir, camera, label)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "label": label,
                    "note": NOT_MEDICAL,
                    "cases": [asdict(case) for case in cases],
                    "damaged": damaged,
                }
            )
        )
        return
    click.echo(f"{'P(' + label + ')':>16}  {'decided':<16} file")
    for case in cases:
        click.echo(f"{case.probability:16.3f}  {case.decided:<16} {case.file}")
    for file in damaged:
        click.echo(f"{'':16}  {'not readable':<16} {file}")
    click.echo(NOT_MEDICAL, err=True)


def worklist(
    settings: Settings, base_dir: Path, camera: CameraSettings, label: str
) -> tuple[list[Case], list[str]]:
    """The folder's pictures, most probable first (equal ones by name), and the names of those that cannot be
    read. Each picture is cut as the camera's first region says. Raises ConfigurationError."""
    import numpy as np

    from edgenode.capture.address import parse_address
    from edgenode.capture.masks import Masks
    from edgenode.capture.pictures import PICTURE_SUFFIXES, decode_picture
    from edgenode.decision_setup import regions_of
    from edgenode.wiring import cutters_of, load_classifiers

    folder = Path(parse_address(camera.source, base_dir).target)
    region = regions_of(camera)[0]
    classifiers = load_classifiers(settings, base_dir)
    try:
        cutter = cutters_of(
            camera, settings, {model: classifier.card for model, classifier in classifiers.items()}
        )[0]
        classifier = classifiers[cutter.model]
        card = classifier.card
        place = _place_of(label, card)
        threshold = region.smoothing.abstain_below
        abstain = card.abstain_below if threshold is None else threshold
        masks = Masks(camera.masks)
        cases: list[Case] = []
        damaged: list[str] = []
        files = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in PICTURE_SUFFIXES and path.name[0] != "."
        )
        for path in files:
            try:
                picture = masks.apply(decode_picture(path.read_bytes()))
            except (PictureError, OSError):
                damaged.append(path.name)
                continue
            scores = classifier.classify(np.stack([cutter.cut(picture)])).probabilities[0]
            best = int(scores.argmax())
            confidence = float(scores[best])
            decided = card.labels[best] if confidence >= abstain else UNKNOWN
            cases.append(Case(path.name, round(float(scores[place]), 6), decided, round(confidence, 6)))
    finally:
        for each in classifiers.values():
            each.close()
    return sorted(cases, key=lambda case: (-case.probability, case.file)), damaged


def _place_of(label: str, card: ModelCard) -> int:
    if label not in card.labels:
        raise ConfigurationError(
            [f"model {card.name} has no label {label!r}{suggestion(label, card.labels)}"]
        )
    return list(card.labels).index(label)


def _watching(settings: Settings, base_dir: Path, name: str | None) -> CameraSettings:
    from edgenode.capture.address import AddressKind, parse_address

    folders = [
        camera
        for camera in settings.cameras
        if parse_address(camera.source, base_dir).kind is AddressKind.FOLDER
    ]
    names = [camera.name for camera in folders]
    if name is not None and name not in names:
        raise ConfigurationError([f"no camera {name!r} watches a folder{suggestion(name, names)}"])
    chosen = [camera for camera in folders if name in (None, camera.name)]
    if len(chosen) != 1:
        raise ConfigurationError(
            [
                "say --camera: "
                + (f"{', '.join(names)} watch folders" if names else "no camera watches a folder")
            ]
        )
    return chosen[0]
