"""`edgenode bench overload`: latency and fairness when more is offered than the model can take."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from edgenode.commands.bench_material import clip_option, json_option, material, model_option, print_figures


@click.command("overload")
@model_option
@clip_option
@json_option
@click.option("--factors", default="2,10", show_default=True, help="Times what the bare model can take.")
@click.option("--batch", type=click.IntRange(1, 256), default=8, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.5, 600.0), default=8.0, show_default=True, help="A run.")
def overload_command(
    model: Path | None, clip: Path | None, as_json: bool, factors: str, batch: int, seconds: float
) -> None:
    """Eight cameras with as many regions as it takes: how old decisions are, and whether cameras are served alike.

    The first run is unloaded: 0.3 of what the bare model can take.
    """
    from edgenode.bench.overload import OverloadTask, measure
    from edgenode.capture.plain_video import PlainVideo

    try:
        wanted = tuple(float(part) for part in factors.split(","))
    except ValueError:
        raise click.UsageError(f"--factors: {factors!r} is not a list of numbers such as 2,10") from None
    with material(model, clip) as (model_path, clip_path):
        task = OverloadTask(clip_path, model_path, PlainVideo(clip_path).fps, batch, seconds)
        found = []
        for each in measure(task, wanted):
            found.append(each)
            if not as_json:
                click.echo(
                    f"{each.factor:.1f} x: {each.images_per_s:.0f} images/s, {each.dropped_per_s:.0f} dropped/s, "
                    f"p50 {1000 * each.p50_s:.1f} ms, p99 {1000 * each.p99_s:.1f} ms "
                    f"(at the hand-off {1000 * each.late_p99_s:.1f} ms, "
                    f"frames up to {1000 * each.gap_s:.0f} ms apart), fairness {each.fairness:.2f}, "
                    f"RSS {each.rss_bytes / 2**20:.0f} MiB"
                )
    unloaded_s = found[0].p99_s
    slower = {f"{each.factor:.1f}": each.p99_s / unloaded_s for each in found[1:] if unloaded_s > 0.0}
    print_figures(
        as_json,
        {"burdens": [asdict(each) for each in found], "p99_over_unloaded": slower},
        "p99 over the unloaded one: "
        + ", ".join(f"{ratio:.1f} at {name} x" for name, ratio in slower.items()),
    )
