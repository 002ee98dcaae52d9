"""`edgenode bench latency`: from capture to the broker's acknowledgement of an event."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from edgenode.commands.bench_material import json_option, material, model_option, print_figures
from edgenode.errors import EdgeNodeError

DEFAULT = "small"
"""A bundled model may be so sure of itself that a bright and a dark picture are the same to it."""
GOAL_S = 0.005
"""Beyond decoding and inference, at the 99th percentile."""


@click.command("latency")
@model_option
@json_option
@click.option("--size", type=click.Choice(["360p", "720p", "1080p"]), default="720p", show_default=True)
@click.option(
    "--load",
    type=click.FloatRange(0.01, 1.0),
    default=0.7,
    show_default=True,
    help="Decoding and inference of a frame, times frames a second.",
)
@click.option("--seconds", type=click.FloatRange(1.0, 3600.0), default=20.0, show_default=True)
@click.option("--rtsp", is_flag=True, help="Over RTSP, by GStreamer's server where it is installed.")
@click.option("--broker", help="host:port; a Mosquitto started for the time where one is installed.")
def latency_command(
    model: Path | None,
    as_json: bool,
    size: str,
    load: float,
    seconds: float,
    rtsp: bool,
    broker: str | None,
) -> None:
    """One camera whose every frame begins or ends an event: capture to PUBACK, beside decoding and inference alone.

    Without --model with `small`.
    """
    from edgenode.bench.broker import bench_broker
    from edgenode.bench.footage import SIZES
    from edgenode.bench.latency import LatencyTask, measure

    with (
        tempfile.TemporaryDirectory(prefix="edgenode-bench-") as folder,
        material(model or Path(DEFAULT), Path()) as (model_path, _),
        bench_broker(Path(folder), broker) as where,
    ):
        if where is None:
            raise EdgeNodeError("there is no broker: install Mosquitto, or name one with --broker")
        found = measure(LatencyTask(model_path, where, SIZES[size], load, seconds, rtsp), Path(folder))
    print_figures(
        as_json,
        {"latency": asdict(found), "excess_s": found.excess_s, "goal_excess_s": GOAL_S},
        "\n".join(
            [
                "| source | fps | load | decode ms | inference ms | acknowledged | p50 ms | p99 ms | beyond ms |",
                "|---|---|---|---|---|---|---|---|---|",
                f"| {found.source} | {found.fps} | {found.load:.2f} | {1000 * found.decode_s:.2f} "
                f"| {1000 * found.infer_s:.2f} | {found.messages} of {found.expected} | {1000 * found.p50_s:.1f} "
                f"| {1000 * found.p99_s:.1f} | {1000 * found.excess_s:.1f} |",
                "",
                "beyond: p99 less inference"
                + (", decoding and the parser's wait of one frame" if rtsp else "; a file is decoded ahead")
                + f"; the goal is {1000 * GOAL_S:g} ms",
            ]
        ),
    )
