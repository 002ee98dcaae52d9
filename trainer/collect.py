"""Cutting the regions of a clip or a camera into pictures to learn from.

The regions are cut by the node's own code, privacy masks first, and kept in full resolution. Beside the
pictures stands `collected.csv`, from which `load_dataset` knows what was taken together and keeps it on one
side of a split.
"""

from __future__ import annotations

import csv
import io
import math
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import click
import cv2
import numpy as np
from pydantic import ValidationError

from edgenode.capture.masks import Masks
from edgenode.capture.opening import open_source, redact
from edgenode.capture.regions import RegionCutter
from edgenode.capture.source import Source, SourceIdleError, SourceOptions
from edgenode.clock import Clock, SystemClock
from edgenode.errors import DataError, PictureError, SourceEndedError
from edgenode.records import U8
from edgenode.settings import CameraSettings, RegionSettings, parse_duration
from trainer.files import write_file
from trainer.interruption import stop_on_signal
from trainer.intervals import RegionLabels, read_intervals
from trainer.listing import COLLECTED

UNLABELLED = "_unlabelled"
"""Where pictures go of which nobody said what they show; sort them into class folders beside it."""
_COLUMNS = ("path", "label", "clip", "region", "time_s", "group")


@dataclass(frozen=True, slots=True)
class CollectOptions:
    """What to take."""

    every_s: float = 0.2
    """Pause between two pictures of a region, on the source's own clock; 0 takes every frame."""
    from_s: float = 0.0
    to_s: float = math.inf
    margin_s: float = 0.0
    """Pictures this near to a change of the label are skipped: nobody can say what they show."""
    block_s: float = 2.0
    """Pictures of one clip within one such stretch of time form a group."""
    limit: int = 100_000
    """At most this many pictures are written."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What was written."""

    pictures: int
    by_label: dict[str, int]
    frames: int
    """Frames looked at."""
    skipped: int
    """Regions of those frames that have no label, or are too near to a change."""
    damaged: int
    """Frames that could not be decoded."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: the source, its regions, what must not be seen."""

    url: str
    cutters: tuple[RegionCutter, ...]
    masks: Masks
    base_dir: Path = Path()

    @property
    def clip(self) -> str:
        """The source's name for labels and files: a file's name, else what of the address fits a name."""
        if "://" not in self.url:
            return PurePosixPath(self.url).name
        return re.sub(r"[^\w.-]+", "_", redact(self.url)).strip("_")


def collect(
    subject: Subject,
    out: Path,
    options: CollectOptions | None = None,
    labels: dict[str, RegionLabels] | None = None,
    clock: Clock | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Collected:
    """Writes the regions of `subject` to `out/LABEL/`, or `out/_unlabelled/` where `labels` is None.

    Ends with the source, at `to_s`, at the limit, or when `stop` says so. Pictures are named after clip,
    region and time, so collecting again replaces, never doubles. Raises SourceError, or DataError where a
    region has no labels or nothing was found to write.
    """
    options, clock = options or CollectOptions(), clock or SystemClock()
    if labels is not None:
        missing = [cutter.name for cutter in subject.cutters if cutter.name not in labels]
        if missing:
            raise DataError(
                f"the labels of {subject.clip} say nothing of region {', '.join(map(repr, missing))}; "
                f"they name {', '.join(map(repr, sorted(labels)))}"
            )
    rows: dict[str, tuple[str, ...]] = _known_rows(out / COLLECTED)
    counts: Counter[str] = Counter()
    frames = skipped = damaged = 0
    source = open_source(subject.url, SourceOptions(follow=False, base_dir=subject.base_dir), clock)
    with closing(source):
        for time_s, picture in _moments(source, options, clock, stop):
            frames += 1
            if picture is None:
                damaged += 1
                continue
            masked = subject.masks.apply(picture if picture.flags.writeable else picture.copy())
            for cutter in subject.cutters:
                label = UNLABELLED if labels is None else labels[cutter.name].at(time_s, options.margin_s)
                if label is None:
                    skipped += 1
                    continue
                name = f"{_slug(subject.clip)}_{cutter.name}_{time_s:09.3f}.png"
                path = f"{label}/{name}"
                write_file(out / path, _png(cutter.crop(masked)))
                group = f"{subject.clip}:{int(time_s // options.block_s) if options.block_s else time_s}"
                known = "" if labels is None else label
                rows[path] = (path, known, subject.clip, cutter.name, f"{time_s:.3f}", group)
                counts[label] += 1
            if sum(counts.values()) >= options.limit:
                break
    if not counts:
        raise DataError(
            f"{redact(subject.url)}: nothing to write: {frames} frames between {options.from_s:g} and "
            f"{options.to_s:g} s, {damaged} of them damaged, {skipped} regions without a label"
        )
    write_file(out / COLLECTED, _rows_csv(rows.values()))
    return Collected(sum(counts.values()), dict(sorted(counts.items())), frames, skipped, damaged)


def _moments(
    source: Source, options: CollectOptions, clock: Clock, stop: Callable[[], bool]
) -> Iterator[tuple[float, U8 | None]]:
    """(seconds since opening, picture or None where it is damaged) at the times asked for."""
    started = clock.monotonic()
    due, index = options.from_s, 0
    while not stop():
        try:
            grab = source.read()
        except SourceEndedError:
            return
        except SourceIdleError:
            continue
        if grab.media_s is not None:
            time_s = grab.media_s
        elif source.info.live:
            time_s = clock.monotonic() - started
        else:
            time_s = float(index)  # a folder has no clock: its pictures are counted
        index += 1
        if time_s > options.to_s:
            return
        # half a millisecond: 5 frames at 25 a second are not quite 200 ms in floating point
        if time_s < due - 0.0005:
            continue
        due = max(due + options.every_s, time_s - options.every_s)
        try:
            yield time_s, grab.rgb()
        except PictureError:
            yield time_s, None


def _png(picture: U8) -> bytes:
    good, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    if not good:
        raise PictureError("a region could not be written as PNG")
    return bytes(data.tobytes())


def _slug(text: str) -> str:
    stem = text.rsplit(".", 1)[0] if "." in text else text
    return re.sub(r"[^\w.-]+", "-", stem).strip("-")[:100] or "clip"


def _known_rows(path: Path) -> dict[str, tuple[str, ...]]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        if tuple(next(reader, ())) != _COLUMNS:
            raise DataError(f"{path}: was not written by collect; choose another folder")
        return {row[0]: tuple(row) for row in reader if row}


def _rows_csv(rows: Any) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(sorted(rows))
    return text.getvalue().encode()


def subject_of_regions(url: str, regions: Sequence[str]) -> Subject:
    """The source `url` with regions written `name=x0,y0,x1,y1`; the whole picture where there are none."""
    shapes = []
    for text in regions:
        name, _, numbers = text.partition("=")
        try:
            box = tuple(float(part) for part in numbers.split(","))
            shapes.append(RegionSettings.model_validate({"name": name.strip(), "box": box}))
        except (ValueError, ValidationError) as error:
            raise DataError(
                f"region {text!r} is not name=x0,y0,x1,y1 with fractions 0 to 1, x0 < x1 and y0 < y1"
            ) from error
    return _subject(url, shapes or [RegionSettings()], Masks([]), Path())


def subject_of_config(path: Path, camera: str | None, url: str | None = None) -> Subject:
    """Regions and masks of a camera in a node's configuration; its source too, unless `url` replaces it."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("cameras", [])
        cameras = [CameraSettings.model_validate(table) for table in tables]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise DataError(f"{path}: cameras: {problem['loc']}: {problem['msg']}") from error
    names = [item.name for item in cameras]
    if camera is None and len(cameras) != 1:
        raise DataError(f"{path}: has the cameras {', '.join(names) or 'none'}; choose one with --camera")
    chosen = next((item for item in cameras if camera in (None, item.name)), None)
    if chosen is None:
        raise DataError(f"{path}: has no camera {camera!r}; it has {', '.join(names)}")
    base = Path() if url else path.parent
    return _subject(url or chosen.source, chosen.regions or [RegionSettings()], Masks(chosen.masks), base)


def _subject(url: str, shapes: Sequence[RegionSettings], masks: Masks, base_dir: Path) -> Subject:
    cutters = tuple(RegionCutter(shape.name, "", shape, lambda picture: picture) for shape in shapes)
    if len({cutter.name for cutter in cutters}) < len(cutters):
        raise DataError("two regions have one name")
    return Subject(url, cutters, masks, base_dir)


def _seconds(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    try:
        return (
            None if value is None else float(parse_duration(value if value[-1:].isalpha() else f"{value}s"))
        )
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("collect")
@click.argument("clip", required=False)
@click.option(
    "--config", type=click.Path(path_type=Path), help="A node's configuration: regions, masks, source."
)
@click.option("--camera", help="Which camera of the configuration.")
@click.option(
    "--region", "regions", multiple=True, metavar="NAME=X0,Y0,X1,Y1", help="In fractions; repeatable."
)
@click.option("--labels", type=click.Path(path_type=Path), help="CSV clip,region,label,start_s,end_s.")
@click.option(
    "--every", default="200ms", show_default=True, callback=_seconds, help="Pause between pictures."
)
@click.option("--from", "from_s", default="0s", callback=_seconds, help="Start at this time.")
@click.option("--to", "to_s", default=None, callback=_seconds, help="End at this time.")
@click.option("--margin", default="0s", callback=_seconds, help="Skip this much around changes of the label.")
@click.option(
    "--block", default="2s", show_default=True, callback=_seconds, help="Stretch of time kept together."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("pictures"), show_default=True)
def collect_command(
    clip: str | None,
    config: Path | None,
    camera: str | None,
    regions: tuple[str, ...],
    labels: Path | None,
    every: float,
    from_s: float,
    to_s: float | None,
    margin: float,
    block: float,
    out: Path,
) -> None:
    """Cut the regions of CLIP (a file, folder or camera address) into pictures, one folder per label."""
    if config is not None and not regions:
        subject = subject_of_config(config, camera, clip)
    elif clip is not None and config is None:
        subject = subject_of_regions(clip, regions)
    else:
        raise click.UsageError("give a CLIP with --region, or --config with a camera's regions")
    named = read_intervals(labels, subject.clip) if labels is not None else None
    limits = math.inf if to_s is None else to_s
    options = CollectOptions(every_s=every, from_s=from_s, to_s=limits, margin_s=margin, block_s=block)
    with stop_on_signal() as stop:
        done = collect(subject, out, options, named, stop=stop)
        if stop():
            click.echo("stopped; what was collected so far is kept")
    for label, count in done.by_label.items():
        click.echo(f"{count:6d}  {out / label}")
    click.echo(f"{done.frames} frames seen, {done.skipped} regions skipped, {done.damaged} frames damaged")
