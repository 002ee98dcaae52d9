"""`edgenode bench`: what this machine can do, beside the limit it could reach."""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgenode import __version__

if TYPE_CHECKING:
    from edgenode.bench.rivals import Cost
    from edgenode.bench.throughput import Round

model_option = click.option(
    "--model", type=click.Path(path_type=Path, dir_okay=False), help="Model file; a bundled one if not given."
)
clip_option = click.option(
    "--clip",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Video file; drawn (640x360) if not given.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@click.group("bench")
def bench_command() -> None:
    """Measure this node on this machine, side by side with the limit."""


@bench_command.command("throughput")
@model_option
@clip_option
@json_option
@click.option("--cameras", type=click.IntRange(1, 256), default=16, show_default=True)
@click.option(
    "--regions",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="Regions a camera; one decoded frame gives so many images, so that inference is the limit.",
)
@click.option("--batch", type=click.IntRange(1, 256), default=8, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.5, 600.0), default=4.0, show_default=True, help="A round.")
@click.option("--rounds", type=click.IntRange(1, 99), default=5, show_default=True)
def throughput_command(
    model: Path | None,
    clip: Path | None,
    as_json: bool,
    cameras: int,
    regions: int,
    batch: int,
    seconds: float,
    rounds: int,
) -> None:
    """File cameras at full speed through the node, against a bare onnxruntime loop, in turns."""
    from edgenode.bench.rig import Load
    from edgenode.bench.throughput import measure

    with _material(model, clip) as (model_path, clip_path):
        load = Load(clip_path, model_path, cameras=cameras, regions=regions, max_batch=batch)
        found = list(_told(measure(load, seconds, rounds), as_json))
    ratios = [each.ratio for each in found]
    _print(
        as_json,
        {
            "cameras": cameras,
            "regions_a_camera": regions,
            "batch": batch,
            "rounds": [
                asdict(each) | {"ratio": each.ratio, "ratio_alone": each.ratio_alone} for each in found
            ],
            "ratio_median": statistics.median(ratios),
            "ratio_lowest": min(ratios),
            "ratio_highest": max(ratios),
        },
        f"{cameras} file cameras of {regions} regions at full speed; "
        f"node / bare onnxruntime on the core the cameras leave free: median {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}) over {len(ratios)} rounds",
    )


def _told(rounds: Iterator[Round], quiet: bool) -> Iterator[Round]:
    for number, each in enumerate(rounds, 1):
        if not quiet:
            click.echo(
                f"round {number}: bare {each.bare_images_per_s:.0f} images/s beside the cameras "
                f"({each.alone_images_per_s:.0f} alone), node {each.node_images_per_s:.0f} "
                f"({each.ratio:.2f}); cameras offer {each.offered_per_s:.0f} samples/s, "
                f"RSS {each.rss_bytes / 2**20:.0f} MiB"
            )
        yield each


@bench_command.command("cost")
@model_option
@clip_option
@json_option
@click.option("--cameras", default="16", show_default=True, help="Numbers of cameras, such as 1,4,16.")
@click.option("--fps", type=click.FloatRange(0.1, 240.0), default=5.0, show_default=True)
@click.option("--kinds", default="plain,tuned,decode,onnxruntime,none,packet", show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(1.0, 3600.0), default=12.0, show_default=True, help="A round."
)
@click.option("--warm-up", type=click.FloatRange(0.0, 600.0), default=15.0, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 99), default=3, show_default=True)
def cost_command(
    model: Path | None,
    clip: Path | None,
    as_json: bool,
    cameras: str,
    fps: float,
    kinds: str,
    seconds: float,
    warm_up: float,
    rounds: int,
) -> None:
    """CPU seconds of cameras in real time: this node, a plain loop, a tuned one, and the limits, in turns.

    The warm-up lets a packet gate learn and is not counted.
    """
    from edgenode.bench.rivals import KINDS, Task, cost

    numbers, names = _numbers(cameras), kinds.split(",")
    if unknown := set(names) - set(KINDS):
        raise click.UsageError(f"--kinds: {', '.join(sorted(unknown))} is none of {', '.join(KINDS)}")
    with _material(model, clip) as (model_path, clip_path):
        found = []
        for number in numbers:
            task = Task(str(clip_path), str(model_path), number, fps, warm_up, seconds)
            for _ in range(rounds):
                for name in names:
                    found.append(cost(name, task))
                    if not as_json:
                        click.echo(_cost_line(found[-1]))
    medians = {
        f"{name}, {number} cameras": statistics.median(
            each.cpu_s for each in found if (each.kind, each.cameras) == (name, number)
        )
        for number in numbers
        for name in names
    }
    _print(
        as_json,
        {"runs": [asdict(each) for each in found], "cpu_s_median": medians},
        "\n".join(f"{name}: median {value:.2f} CPU-seconds" for name, value in medians.items()),
    )


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise click.UsageError(f"--cameras: {text!r} is not a list of numbers such as 1,4,16")
    return numbers


def _cost_line(each: Cost) -> str:
    latency = "" if each.p99_s is None else f", p99 {1000 * each.p99_s:.0f} ms"
    return (
        f"{each.kind}, {each.cameras} cameras: {each.cpu_s:.2f} CPU-seconds in {each.wall_s:.1f} s, "
        f"{each.images} images, RSS {each.rss_bytes / 2**20:.0f} MiB{latency}"
    )


@bench_command.command("memory")
@model_option
@clip_option
@json_option
@click.option("--cameras", type=click.IntRange(1, 256), default=8, show_default=True)
@click.option("--seconds", type=click.FloatRange(1.0, 3600.0), default=10.0, show_default=True)
def memory_command(
    model: Path | None, clip: Path | None, as_json: bool, cameras: int, seconds: float
) -> None:
    """Resident memory of a node with cameras played in real time, classified at 5 fps."""
    import threading

    from edgenode.bench.rig import Load, Rig

    with _material(model, clip) as (model_path, clip_path), tempfile.TemporaryDirectory() as state:
        load = Load(clip_path, model_path, cameras=cameras, fps=5.0, realtime=True)
        with Rig(load, Path(state)) as rig:
            rig.wait_until_classifying()
            rig.read()
            threading.Event().wait(seconds)
            reading = rig.read()
    _print(
        as_json,
        {
            "cameras": cameras,
            "rss_bytes": reading.rss_bytes,
            "cpu_s": reading.cpu_s,
            "wall_s": reading.wall_s,
        },
        f"{cameras} cameras: RSS {reading.rss_bytes / 2**20:.0f} MiB, {reading.images_per_s:.1f} images/s, "
        f"{100 * reading.cpu_s / reading.wall_s:.0f} % of a core",
    )


@bench_command.command("startup")
@model_option
@clip_option
@json_option
@click.option(
    "--broker", default="127.0.0.1:1883", show_default=True, help="host:port without TLS, on loopback."
)
@click.option("--runs", type=click.IntRange(1, 99), default=5, show_default=True)
def startup_command(model: Path | None, clip: Path | None, as_json: bool, broker: str, runs: int) -> None:
    """From process start to the first published classification, and the import of the command line."""
    from edgenode.bench.startup import measure_first_classification, measure_import

    host, _, port = broker.rpartition(":")
    imports = measure_import(runs)
    with _material(model, clip) as (model_path, clip_path):
        firsts = measure_first_classification(clip_path, model_path, host, int(port), runs)
    _print(
        as_json,
        {"import_s": imports, "first_classification_s": firsts},
        f"import edgenode.cli: median {statistics.median(imports):.3f} s; first classification after median "
        f"{statistics.median(firsts):.2f} s ({min(firsts):.2f} to {max(firsts):.2f})",
    )


@contextmanager
def _material(model: Path | None, clip: Path | None) -> Iterator[tuple[Path, Path]]:
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
        yield model.absolute(), clip.absolute()


def _print(as_json: bool, figures: dict[str, Any], text: str) -> None:
    machine = {
        "edgenode": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
    }
    click.echo(json.dumps({"machine": machine, **figures}) if as_json else text)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()
