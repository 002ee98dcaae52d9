"""An ONNX classifier of any origin becomes a model file: bytes in, probabilities out, any batch, with a card.

What comes out is compared with what went in, picture by picture, before anything is written.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import onnx
from pydantic import ValidationError

from edgenode.errors import DataError, ModelError
from edgenode.inference.card import (
    INPUT_NAME,
    METADATA_KEY,
    OUTPUT_NAME,
    InputSpec,
    ModelCard,
    Training,
    golden_input,
    golden_vector,
)
from edgenode.inference.classifier import Classifier
from edgenode.inference.runtime import open_session
from trainer.files import write_file
from trainer.import_proof import OutputKind, distance, finish_of, finished, one_by_one
from trainer.onnx_batch import BATCH, NotProvenError, loop_over_batch, make_dynamic
from trainer.onnx_foreign import (
    Entrance,
    Layout,
    Pixels,
    add_entrance,
    add_exit,
    find_entrance,
    find_exit,
    forget_defaults,
    keep_output,
    make_room,
    read_foreign,
    upgrade,
)
from trainer.preparation import model_name

Color = Literal["rgb", "bgr", "grey"]
_PARITY = 1e-4
_PROBES = 3


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What cannot be read off the graph."""

    labels: tuple[str, ...]
    name: str
    version: str = "1"
    description: str = ""
    size: tuple[int, int] | None = None
    """(height, width); only where the graph leaves it open."""
    color: Color | None = None
    """Order of the channels the model was trained with; default rgb, or grey for one channel."""
    scale: float = 1.0 / 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    """(value · scale - mean) / std; one number, or one a channel in the model's order of channels."""
    layout: Layout | None = None
    output: OutputKind = "auto"
    multi_label: bool = False
    resize: Literal["stretch", "letterbox", "crop"] = "stretch"


@dataclass(frozen=True, slots=True)
class Imported:
    card: ModelCard
    notes: tuple[str, ...]
    """What was decided and done, one line each."""


def import_model(source: Path, out: Path, options: ImportOptions) -> Imported:
    """Makes the model file `out` of the ONNX file `source`.

    Raises DataError where the graph and the options do not fit, ModelError where the file is no ONNX model or
    the result does not answer as the original does, within 1e-4 in every probability.
    """
    data, model = read_foreign(source)
    notes: list[str] = []
    upgrade(model, notes)
    forget_defaults(model)
    channels = None if options.color is None else 1 if options.color == "grey" else 3
    make_room(model, (INPUT_NAME, OUTPUT_NAME))
    entrance = find_entrance(model, options.layout, options.size, channels)
    if entrance.batch not in (None, 1):
        raise DataError(f"the graph takes exactly {entrance.batch} pictures at once; export it with 1 or any")
    count = len(options.labels)
    output, values = find_exit(model, count)
    keep_output(model, output)
    pixels = _pixels(options, entrance)
    original = onnx.ModelProto()
    original.CopyFrom(model)
    spec = _spec(options, entrance)
    probes = golden_input(spec, _PROBES, 1)
    raw = one_by_one(original, entrance, pixels, probes, output)
    finish = finish_of(options.output, options.multi_label, raw.reshape(_PROBES, -1), notes)
    expected = finished(raw.reshape(_PROBES, values), count, finish)

    attempts = ["as it is"] if entrance.batch is None else ["freed", "looped"]
    if entrance.batch is None:
        attempts.append("looped")
    problem = ""
    for way in attempts:
        candidate = onnx.ModelProto()
        candidate.CopyFrom(original)
        try:
            name = _give_batch(candidate, entrance, output, way)
        except NotProvenError as error:
            problem = str(error)
            continue
        add_entrance(candidate, entrance, pixels)
        add_exit(candidate, name, values, count, finish)
        away = distance(candidate, probes, expected)
        if away <= _PARITY:
            notes.append(_account(way, problem, away))
            card = _card(candidate, data, source, options, spec, pixels)
            _write(candidate, card, out)
            return Imported(card, tuple(notes))
        problem = f"a batch answers {away:.2g} away from single pictures"
    raise ModelError(f"{source}: cannot be made to answer as it does one by one: {problem}")


def _pixels(options: ImportOptions, entrance: Entrance) -> Pixels:
    def each(values: tuple[float, ...], what: str) -> tuple[float, ...]:
        if len(values) not in (1, entrance.channels):
            raise DataError(f"--{what} has {len(values)} values; the model has {entrance.channels} channels")
        return values * entrance.channels if len(values) == 1 else values

    std = each(options.std, "std")
    if min(std) <= 0 or options.scale <= 0:
        raise DataError("--std and --scale must be above 0")
    return Pixels(options.scale, each(options.mean, "mean"), std, bgr=options.color == "bgr")


def _spec(options: ImportOptions, entrance: Entrance) -> InputSpec:
    try:
        return InputSpec(
            height=entrance.height,
            width=entrance.width,
            color="grey" if entrance.channels == 1 else "rgb",
            resize=options.resize,
        )
    except ValidationError as error:
        raise DataError(f"pictures of {entrance.height}×{entrance.width} are not possible") from error


def _give_batch(model: onnx.ModelProto, entrance: Entrance, output: str, way: str) -> str:
    """The name of the output afterwards. Raises NotProvenError."""
    if way == "freed":
        make_dynamic(model, entrance.name)
        return output
    if way == "looped":
        loop_over_batch(model, entrance.name, output, entrance.sample)
        return str(model.graph.output[0].name)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[0].dim_param = BATCH
    del model.graph.value_info[:]
    return output


def _account(way: str, problem: str, away: float) -> str:
    told = {
        "as it is": "takes any number of pictures as it is",
        "freed": "was made for one picture; its shapes were freed, every operator keeps pictures apart",
        "looped": f"is run picture by picture in a loop inside the graph ({problem})",
    }[way]
    return f"{told}; largest difference of a probability {away:.1g}"


def _card(
    model: onnx.ModelProto, data: bytes, source: Path, options: ImportOptions, spec: InputSpec, pixels: Pixels
) -> ModelCard:
    session = open_session(model.SerializeToString(), 1, "cpu", "the imported graph")
    seen = session.run([OUTPUT_NAME], {INPUT_NAME: golden_input(spec, 2, 0)})[0]
    parameters = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
    origin = " ".join(part for part in (model.producer_name, model.producer_version) if part)
    opsets = ", ".join(f"{item.domain or 'onnx'} {item.version}" for item in model.opset_import)
    try:
        return ModelCard(
            name=options.name,
            version=options.version,
            description=options.description,
            task="multi_label" if options.multi_label else "single_label",
            labels=list(options.labels),
            input=spec,
            training=Training(
                architecture="imported",
                parameters=parameters,
                libraries={"onnx": version("onnx"), "onnxruntime": version("onnxruntime")},
                options={
                    "source_file": source.name,
                    "source_sha256": hashlib.sha256(data).hexdigest(),
                    "source_opset": opsets,
                    "scale": pixels.scale,
                    "mean": " ".join(f"{value:g}" for value in pixels.mean),
                    "std": " ".join(f"{value:g}" for value in pixels.std),
                    "color": options.color or spec.color,
                },
                origin=origin or "unknown",
            ),
            golden=golden_vector(spec, np.asarray(seen, dtype=np.float32)),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise DataError(f"the card is refused: {problem['loc']}: {problem['msg']}") from error


def _write(model: onnx.ModelProto, card: ModelCard, out: Path) -> None:
    """Writes the file once the node's own classifier has accepted it."""
    model.doc_string = ""
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    content = model.SerializeToString(deterministic=True)
    Classifier.load_bytes(content, str(out)).close()
    write_file(out, content)


def read_labels(path: Path) -> tuple[str, ...]:
    """One label a line, in the order of the model's outputs. Raises DataError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    labels = tuple(line.strip() for line in lines if line.strip())
    if len(labels) < 2:
        raise DataError(f"{path}: must name two labels or more, one a line")
    return labels


def _numbers(_context: click.Context, _option: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        parts = []
        for text in value.replace(",", " ").split():
            above, _, below = text.partition("/")
            parts.append(float(above) / float(below or 1))
        return tuple(parts) or (0.0,)
    except (ValueError, ZeroDivisionError) as error:
        raise click.BadParameter(
            f"{value!r} is not one number, or one a channel, such as 0.485,0.456,0.406"
        ) from error


def _size(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    height, _, width = value.lower().partition("x")
    with contextlib.suppress(ValueError):
        return int(height), int(width or height)
    raise click.BadParameter(f"{value!r} is not HEIGHTxWIDTH")


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--labels", type=click.Path(path_type=Path), required=True, help="One label a line, in order.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--name", help="The model's name; default from --out.")
@click.option("--version", "model_version", default="1", show_default=True)
@click.option("--size", callback=_size, metavar="HxW", help="Where the graph takes any size.")
@click.option(
    "--color", type=click.Choice(["rgb", "bgr", "grey"]), help="Order of channels it was trained with."
)
@click.option("--scale", default="1/255", show_default=True, callback=_numbers, help="Factor on 0 to 255.")
@click.option("--mean", default="0", show_default=True, callback=_numbers, help="Subtracted after scaling.")
@click.option("--std", default="1", show_default=True, callback=_numbers, help="Divided by, last.")
@click.option("--layout", type=click.Choice(["auto", "nchw", "nhwc"]), default="auto", show_default=True)
@click.option("--logits", "output", flag_value="logits", help="Its answers need a softmax or sigmoid.")
@click.option("--probabilities", "output", flag_value="probabilities", help="Its answers are probabilities.")
@click.option("--multi-label", is_flag=True, help="Several labels may hold at once.")
@click.option(
    "--resize", type=click.Choice(["stretch", "letterbox", "crop"]), default="stretch", show_default=True
)
def import_command(source: Path, labels: Path, out: Path, **values: Any) -> None:
    """Turn the ONNX classifier SOURCE, of any origin, into a model file."""
    name = values["name"] or model_name(out)
    options = ImportOptions(
        labels=read_labels(labels),
        name=name,
        version=values["model_version"],
        size=values["size"],
        color=values["color"],
        scale=values["scale"][0],
        mean=values["mean"],
        std=values["std"],
        layout=None if values["layout"] == "auto" else values["layout"],
        output=values["output"] or "auto",
        multi_label=values["multi_label"],
        resize=values["resize"],
    )
    imported = import_model(source, out, options)
    for note in imported.notes:
        click.echo(note)
    shape = imported.card.input
    click.echo(
        f"{out}: {imported.card.name}, {len(options.labels)} labels, "
        f"{shape.height}×{shape.width} {shape.color}"
    )
