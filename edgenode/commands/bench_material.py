"""What the commands of `edgenode bench` share: the model, the clip, and how figures are printed."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from edgenode import __version__

model_option = click.option(
    "--model",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Model file, or tiny, small or medium: untrained ones made for the time; a bundled one if not given.",
)
clip_option = click.option(
    "--clip",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Video file; drawn (640x360) if not given.",
)
MADE_MODELS = ("tiny", "small", "medium")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@contextmanager
def material(model: Path | None, clip: Path | None) -> Iterator[tuple[Path, Path]]:
    """The model and the clip to measure with; what is not given is taken from the wheel or drawn."""
    with tempfile.TemporaryDirectory(prefix="edgenode-bench-") as folder:
        if clip is None:
            from edgenode.capture.clip_writer import write_clip
            from edgenode.capture.scenes import scene_named

            clip = Path(folder) / "drawn.mp4"
            write_clip(scene_named("line", 1), clip, seconds=8.0)
        if model is None:
            from edgenode.demo.scenario import MODELS

            model = MODELS / "line_parts.onnx"
        elif str(model) in MADE_MODELS and not model.exists():
            from edgenode.bench.models import write_model

            name, model = str(model), Path(folder) / "made.onnx"
            write_model(name, model)
        yield model.absolute(), clip.absolute()


def print_figures(as_json: bool, figures: dict[str, Any], text: str) -> None:
    machine = {
        "edgenode": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "load_average": os.getloadavg()[0],
    }
    click.echo(json.dumps({"machine": machine, **figures}) if as_json else text)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()
