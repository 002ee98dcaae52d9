"""`edgenode bench scaling`: cost against cameras, at a pace that this machine can keep."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from edgenode.commands.bench_cost import camera_numbers
from edgenode.commands.bench_material import json_option, material, model_option, print_figures


@click.command("scaling")
@model_option
@json_option
@click.option("--cameras", default="1,2,4,8,16,32,64", show_default=True, help="At least three numbers.")
@click.option("--size", type=click.Choice(["360p", "720p", "1080p"]), default="720p", show_default=True)
@click.option(
    "--share",
    type=click.FloatRange(0.05, 1.0),
    default=0.6,
    show_default=True,
    help="Of the machine, for the most cameras; a short run of a few finds the frame rate.",
)
@click.option("--gate", type=click.Choice(["none", "motion", "packet"]), default="none", show_default=True)
@click.option("--seconds", type=click.FloatRange(1.0, 3600.0), default=10.0, show_default=True, help="A run.")
@click.option("--rounds", type=click.IntRange(1, 99), default=1, show_default=True)
@click.option("--broker", help="host:port; a Mosquitto started for the time where one is installed.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="SVG of the cost against cameras."
)
def scaling_command(
    model: Path | None,
    as_json: bool,
    cameras: str,
    size: str,
    share: float,
    gate: str,
    seconds: float,
    rounds: int,
    broker: str | None,
    plot: Path | None,
) -> None:
    """The node with few and with many cameras of a busy scene, every frame classified: how straight the line is."""
    from edgenode.bench.broker import bench_broker
    from edgenode.bench.footage import SIZES
    from edgenode.bench.plot import cost_plot
    from edgenode.bench.report import rss_per_camera, table
    from edgenode.bench.scaling import ScalingTask, fit, measure, pace

    numbers = tuple(camera_numbers(cameras))
    if len(set(numbers)) < 3:
        raise click.UsageError("--cameras: a straight line can be told from three numbers on")
    with (
        tempfile.TemporaryDirectory(prefix="edgenode-bench-") as folder,
        material(model, Path()) as (model_path, _),
        bench_broker(Path(folder), broker) as where,
    ):
        task = ScalingTask(
            model_path,
            numbers,
            SIZES[size],
            share,
            kind=gate,
            seconds=seconds,
            rounds=rounds,
            broker=where,
        )
        fps = pace(task, Path(folder))
        found = list(measure(task, fps, Path(folder)))
    runs = [found[start : start + len(numbers)] for start in range(0, len(found), len(numbers))]
    line, memory = fit(runs, gate), rss_per_camera(runs, gate) or (0.0, 0.0)
    behind = sorted({each.cameras for each in found if each.images < 0.98 * each.cameras * fps * each.wall_s})
    if plot is not None:
        points = [
            (each.cameras, 100.0 * each.cpu_s / each.wall_s)
            for each in sorted(found, key=lambda c: c.cameras)
        ]
        title = f"busy scene, {size} at {fps} fps, every frame classified"
        plot.write_text(cost_plot({gate: points}, title), encoding="utf-8")
    print_figures(
        as_json,
        {
            "fps": fps,
            "runs": [asdict(each) for each in found],
            "fit": asdict(line),
            "largest_distance": line.largest,
            "rss": {"base_bytes": memory[0], "per_camera_bytes": memory[1]},
            "behind": behind,
        },
        "\n".join(
            [
                table(runs),
                "",
                f"{size} at {fps} fps, every frame classified; {100 * line.base_cpu_share:.2f} % of a core and "
                f"{100 * line.camera_cpu_share:.2f} % for each camera",
                "distance from that line: "
                + ", ".join(f"{n}: {100 * each:+.1f} %" for n, each in line.distances.items())
                + f"; the largest {100 * line.largest:.1f} % (goal 10 %)",
                f"RSS {memory[0] / 2**20:.0f} MiB and {memory[1] / 2**20:.2f} MiB for each camera",
                *(
                    [
                        f"not all frames were classified with {', '.join(map(str, behind))} cameras: too busy a machine"
                    ]
                    if behind
                    else []
                ),
            ]
        ),
    )
