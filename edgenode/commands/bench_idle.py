"""`edgenode bench idle`: what a node costs that has nothing to do."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from edgenode.commands.bench_material import json_option, material, model_option, print_figures


@click.command("idle")
@model_option
@json_option
@click.option("--seconds", type=click.FloatRange(1.0, 3600.0), default=20.0, show_default=True)
@click.option("--warm-up", type=click.FloatRange(0.0, 600.0), default=3.0, show_default=True)
@click.option("--broker", help="host:port; a Mosquitto started for the time where one is installed.")
def idle_command(
    model: Path | None, as_json: bool, seconds: float, warm_up: float, broker: str | None
) -> None:
    """A node with one model and a broker, and no camera: its share of a core, by thread, and its memory."""
    from edgenode.bench.broker import bench_broker
    from edgenode.bench.rivals import Task, cost

    with (
        tempfile.TemporaryDirectory(prefix="edgenode-bench-") as folder,
        material(model, Path()) as (model_path, _),
        bench_broker(Path(folder), broker) as where,
    ):
        found = cost("none", Task((), str(model_path), 0, 0.0, warm_up, seconds, where))
    share = found.cpu_s / found.wall_s
    by_thread = {
        name: used / found.wall_s for name, used in sorted(found.cpu_by_thread.items()) if used > 0.0
    }
    print_figures(
        as_json,
        {
            "idle": asdict(found),
            "core_share": share,
            "core_share_by_thread": by_thread,
            "broker": where is not None,
        },
        f"{100 * share:.2f} % of a core over {found.wall_s:.0f} s (goal 0.5 %), RSS {found.rss_bytes / 2**20:.0f} MiB "
        f"(goal 150 MiB){'' if where is not None else '; there was no broker'}\n"
        + "\n".join(f"  {name}: {100 * used:.2f} %" for name, used in by_thread.items()),
    )
