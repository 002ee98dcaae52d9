"""`edgenode bench`: what this machine can do, beside the limit it could reach."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgenode.commands.bench_cost import cost_command
from edgenode.commands.bench_idle import idle_command
from edgenode.commands.bench_latency import latency_command
from edgenode.commands.bench_material import clip_option, json_option, material, model_option, print_figures
from edgenode.commands.bench_overload import overload_command
from edgenode.commands.bench_scaling import scaling_command

if TYPE_CHECKING:
    from edgenode.bench.throughput import Round


@click.group("bench")
def bench_command() -> None:
    """Measure this node on this machine, side by side with others and with the limits."""


for each in (cost_command, idle_command, latency_command, overload_command, scaling_command):
    bench_command.add_command(each)


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

    with material(model, clip) as (model_path, clip_path):
        load = Load((clip_path,), model_path, cameras=cameras, regions=regions, max_batch=batch)
        found = list(_told(measure(load, seconds, rounds), as_json))
    ratios = [each.ratio for each in found]
    print_figures(
        as_json,
        {
            "cameras": cameras,
            "regions_a_camera": regions,
            "batch": batch,
            "rounds": [
                asdict(each)
                | {
                    "ratio": each.ratio,
                    "ratio_alone": each.ratio_alone,
                    "thread_share": each.thread_share,
                }
                for each in found
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
                f"({each.ratio:.2f}; by CPU of the model's thread {each.thread_share:.2f}); "
                f"cameras offer {each.offered_per_s:.0f} samples/s, "
                f"RSS {each.rss_bytes / 2**20:.0f} MiB"
            )
        yield each


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
    from edgenode.heap import share_heaps
    from edgenode.interpreter import share_lock

    share_heaps()
    share_lock()
    with material(model, clip) as (model_path, clip_path), tempfile.TemporaryDirectory() as state:
        load = Load((clip_path,), model_path, cameras=cameras, fps=5.0, realtime=True)
        with Rig(load, Path(state)) as rig:
            rig.wait_until_classifying()
            rig.read()
            threading.Event().wait(seconds)
            reading = rig.read()
    print_figures(
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
    with material(model, clip) as (model_path, clip_path):
        firsts = measure_first_classification(clip_path, model_path, host, int(port), runs)
    print_figures(
        as_json,
        {"import_s": imports, "first_classification_s": firsts},
        f"import edgenode.cli: median {statistics.median(imports):.3f} s; first classification after median "
        f"{statistics.median(firsts):.2f} s ({min(firsts):.2f} to {max(firsts):.2f})",
    )
