"""Labelled pictures of the drawn scenes: `python -m trainer.scenes OUT --model line_parts --pictures 6000`.

Writes `OUT/{train,val,test}/LABEL/seed<seed>_<milliseconds>.png`. The parts are drawn with different
seeds, and the demo shows yet others: no metal, car or belt of one is in another.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import cv2

from edgenode.capture.scenes import Scene, scene_named
from edgenode.errors import DataError
from edgenode.records import U8

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class SceneModel:
    """A model that can be taught from a scene: whose region, and the input it is meant to have."""

    name: str
    scene: str
    region: str
    height: int
    width: int
    architecture: str

    def labels(self) -> tuple[str, ...]:
        return scene_named(self.scene).regions[self.region].labels


SCENE_MODELS = {
    model.name: model
    for model in (
        SceneModel("line_parts", "line", "belt", 80, 120, "edge-s"),
        SceneModel("signal_light", "junction", "signal", 32, 20, "edge-s"),
        SceneModel("stop_line", "junction", "stop_line", 32, 32, "edge-s"),
    )
}
SEEDS: dict[str, range] = {
    "train": range(10_000, 10_240),
    "val": range(20_000, 20_030),
    "test": range(30_000, 30_060),
}
"""Seeds under 10,000 are for showing: the demo's, and what people type."""
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


@dataclass(frozen=True, slots=True)
class ScenePicture:
    """A region of one instant of a scene, uint8 [h, w, 3] RGB as it is in the frame, and its truth."""

    image: U8
    label: str
    seed: int
    t_s: float


def pictures(model: SceneModel, seeds: Sequence[int], count: int) -> Iterator[ScenePicture]:
    """About `count` pictures, as many of each label, from all of `seeds`, at instants at which the truth is
    settled. The same arguments give the same pictures."""
    for place, seed in enumerate(seeds):
        scene = scene_named(model.scene, seed)
        labels = scene.regions[model.region].labels
        share = count * (place + 1) // len(seeds) - count * place // len(seeds)
        for number, label in enumerate(labels):
            wanted = share * (number + 1) // len(labels) - share * number // len(labels)
            for turn in range(wanted):
                t_s = _instant(scene, model.region, label, seed * 1_000_003 + number * 10_007 + turn)
                yield ScenePicture(region_of(scene, model.region, t_s), label, seed, t_s)


def region_of(scene: Scene, region: str, t_s: float) -> U8:
    """The pixels of `region` at `t_s`, cut as a camera's region of the same box is."""
    (x0, y0, x1, y1), (width, height) = scene.regions[region].box, scene.size
    rows = slice(math.floor(y0 * height + 0.5), math.floor(y1 * height + 0.5))
    columns = slice(math.floor(x0 * width + 0.5), math.floor(x1 * width + 0.5))
    return scene.draw(t_s)[rows, columns]


def write_folders(model: SceneModel, out: Path, count: int) -> dict[str, int]:
    """Writes `count` pictures below `out`; says how many went into each part. Raises DataError if `out`
    already holds something."""
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out} is not empty; name another folder or remove it")
    written = dict.fromkeys(SEEDS, 0)
    for part, seeds in SEEDS.items():
        for picture in pictures(model, seeds, max(1, round(count * SHARES[part]))):
            folder = out / part / picture.label
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"seed{picture.seed}_{round(picture.t_s * 1000):08d}.png"
            if not cv2.imwrite(str(path), cv2.cvtColor(picture.image, cv2.COLOR_RGB2BGR)):
                raise DataError(f"{path}: cannot be written")
            written[part] += 1
    return written


def _instant(scene: Scene, region: str, label: str, number: int) -> float:
    """A settled instant of the scene's first day at which `region` shows `label`."""
    rng = random.Random(number)  # noqa: S311 - chooses pictures, guards nothing
    while True:
        t_s = round(rng.uniform(0.0, DAY_S), 3)
        if scene.truth(t_s)[region] == label and scene.settled(t_s)[region]:
            return t_s


@click.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--model", "name", required=True, type=click.Choice(sorted(SCENE_MODELS)))
@click.option("--pictures", "count", default=6000, show_default=True, type=click.IntRange(min=20))
def main(out: Path, name: str, count: int) -> None:
    """Draw labelled pictures for one of the built-in models into the folder OUT."""
    try:
        written = write_folders(SCENE_MODELS[name], out, count)
    except (DataError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{out}: " + ", ".join(f"{number} for {part}" for part, number in written.items()))


if __name__ == "__main__":
    main()
