"""`edgenode bench cost`: CPU-seconds of cameras in real time, beside loops as others write them and the limits."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgenode.commands.bench_material import json_option, material, model_option, print_figures

if TYPE_CHECKING:
    from edgenode.bench.footage import Footage
    from edgenode.bench.rivals import Cost

DEFAULT_KINDS = "plain,tuned,decode,onnxruntime,packet"
_RECALL_ROUNDS = 3
"""The clip is looped this often for the recall: the gate learns in the first."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the cameras play."""

    clips: tuple[str, ...]
    workload: str
    size: str
    clip_seconds: float | None
    cameras: int
    rtsp: bool = False


@click.command("cost")
@model_option
@click.option(
    "--clip", "clips", multiple=True, help="File or address in place of the made clips; may be repeated."
)
@click.option("--workload", type=click.Choice(["idle", "mixed", "busy"]), default="mixed", show_default=True)
@click.option("--size", type=click.Choice(["360p", "720p", "1080p"]), default="720p", show_default=True)
@click.option(
    "--clip-seconds",
    type=click.FloatRange(2.0, 600.0),
    help="Length of the made clips; 60 s, mixed with 6 s of them busy, 20 s if wholly idle or busy.",
)
@json_option
@click.option("--cameras", default="16", show_default=True, help="Numbers of cameras, such as 1,4,16.")
@click.option("--fps", type=click.FloatRange(0.0, 240.0), default=5.0, show_default=True, help="0 takes all.")
@click.option("--kinds", default=DEFAULT_KINDS, show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(1.0, 3600.0), help="A round; one length of the clip if not given."
)
@click.option("--warm-up", type=click.FloatRange(0.0, 600.0), default=20.0, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 99), default=3, show_default=True)
@click.option(
    "--rtsp", is_flag=True, help="Serve the clips over RTSP, by GStreamer's server where it is installed."
)
@click.option(
    "--watts",
    type=(float, float),
    metavar="IDLE CORE",
    help="Without a meter: [energy] idle_watts and core_watts, as `edgenode energy calibrate` finds them.",
)
@click.option("--broker", help="host:port; a Mosquitto started for the time where one is installed.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="SVG of the cost against cameras."
)
def cost_command(
    model: Path | None,
    clips: tuple[str, ...],
    workload: str,
    size: str,
    clip_seconds: float | None,
    as_json: bool,
    cameras: str,
    fps: float,
    kinds: str,
    seconds: float | None,
    warm_up: float,
    rounds: int,
    rtsp: bool,
    watts: tuple[float, float] | None,
    broker: str | None,
    plot: Path | None,
) -> None:
    """CPU seconds of cameras in real time: this node, a plain loop, a tuned one, and the limits, in turns.

    The node and the loops publish to the same broker. The warm-up lets a packet gate learn and is not counted;
    the loops get 3 s, over RTSP as much as the node. Ratios are of runs of the same round.
    """
    from edgenode.bench.broker import bench_broker
    from edgenode.bench.rivals import GATES, KINDS, Task, cost

    numbers, names = camera_numbers(cameras), kinds.split(",")
    if unknown := set(names) - set(KINDS):
        raise click.UsageError(f"--kinds: {', '.join(sorted(unknown))} is none of {', '.join(KINDS)}")
    wanted = _Wanted(clips, workload, size, clip_seconds, max(numbers), rtsp)
    if rtsp and (clips or set(names) & {"decode", "keyframes"}):
        raise click.UsageError(
            "--rtsp serves made clips, and decodes nothing bare: leave out --clip, and decode in --kinds"
        )
    with (
        tempfile.TemporaryDirectory(prefix="edgenode-bench-") as folder,
        material(model, Path()) as (model_path, _),
        _clips(wanted, Path(folder)) as (paths, length_s),
        bench_broker(Path(folder), broker) as where,
    ):
        found: list[list[Cost]] = []
        for _ in range(rounds):
            found.append([])
            for number in numbers:
                for name in names:
                    # opening sixteen RTSP streams takes some seconds
                    patience_s = warm_up if name in GATES or rtsp else min(3.0, warm_up)
                    task = Task(
                        paths, str(model_path), number, fps, patience_s, seconds or length_s, where, watts
                    )
                    found[-1].append(cost(name, task))
                    if not as_json:
                        click.echo(_line(found[-1][-1]))
        recall = _recall(paths, fps, length_s) if "packet" in names and not (clips or rtsp) else None
    _tell(as_json, found, wanted, recall, plot)


def _tell(
    as_json: bool,
    found: list[list[Cost]],
    wanted: _Wanted,
    recall: dict[str, object] | None,
    plot: Path | None,
) -> None:
    from edgenode.bench.report import cpu_spreads, linearity, ratios, rss_per_camera, table
    from edgenode.bench.rivals import GATES

    figures: dict[str, object] = {
        "workload": asdict(wanted),
        "runs": [asdict(each) for runs in found for each in runs],
        "cpu_s": {
            f"{name}, {number} cameras": asdict(each) for (name, number), each in cpu_spreads(found).items()
        },
        "ratios": {name: asdict(each) for name, each in ratios(found).items()},
    }
    sources = sorted({each.energy_source for runs in found for each in runs if each.energy_source})
    figures["energy_source"] = sources
    told = (
        f"energy: {', '.join(sources)}"
        if sources
        else "energy: no meter can be read, and --watts is not given"
    )
    lines = ["", table(found), "", told, *(f"{name}: {each}" for name, each in ratios(found).items())]
    for kind in GATES:
        if (off := linearity(found, kind)) is not None:
            figures[f"{kind}, distance from a straight line"] = off
            lines.append(f"{kind}: at most {100.0 * off:.0f} % from a straight line")
        if (memory := rss_per_camera(found, kind)) is not None:
            figures[f"{kind}, rss"] = {"base_bytes": memory[0], "per_camera_bytes": memory[1]}
            lines.append(f"{kind}: RSS {memory[0] / 2**20:.0f} MiB and {memory[1] / 2**20:.1f} MiB a camera")
    if recall is not None:
        figures["recall"] = recall
        lines.append(
            f"packet gate against decoding everything: {recall['events_found']} of {recall['events']} events, "
            f"{recall['found']} of {recall['moving']} moving frames"
        )
    if plot is not None:
        _draw(plot, found, wanted)
    print_figures(as_json, figures, "\n".join(lines))


def _draw(path: Path, found: list[list[Cost]], wanted: _Wanted) -> None:
    from edgenode.bench.plot import cost_plot
    from edgenode.bench.report import cpu_spreads

    wall_s = found[0][0].wall_s
    lines: dict[str, list[tuple[int, float]]] = {}
    for (kind, cameras), each in cpu_spreads(found).items():
        seconds = next(run.wall_s for run in found[0] if (run.kind, run.cameras) == (kind, cameras))
        per_s = each.median / (wall_s if kind in ("decode", "keyframes", "onnxruntime") else seconds)
        lines.setdefault(kind, []).append((cameras, 100.0 * per_s))
    text = f"{wanted.workload} scene, {wanted.size}, medians of {len(found)} rounds"
    path.write_text(
        cost_plot({name: sorted(points) for name, points in lines.items()}, text), encoding="utf-8"
    )


def _recall(clips: tuple[str, ...], fps: float, length_s: float) -> dict[str, object] | None:
    from edgenode.bench.recall import gate_recall

    sums = {"moving": 0, "found": 0, "events": 0, "events_found": 0}
    for clip in clips[:4]:
        one = gate_recall(Path(clip), fps, _RECALL_ROUNDS * length_s)
        for name in sums:
            sums[name] += getattr(one, name)
    return dict(sums)


@contextmanager
def _clips(wanted: _Wanted, folder: Path) -> Iterator[tuple[tuple[str, ...], float]]:
    """What the cameras play, and its length in seconds."""
    if wanted.clips:
        yield tuple(_address(clip) for clip in wanted.clips), wanted.clip_seconds or 12.0
        return
    from edgenode.bench.footage import make_clips

    footage = _footage(wanted)
    clips = make_clips(folder, footage, min(16, wanted.cameras))
    if not wanted.rtsp:
        yield tuple(str(clip) for clip in clips), footage.seconds
        return
    from edgenode.bench.rtsp import rtsp_cameras

    with rtsp_cameras(clips) as addresses:
        yield addresses, footage.seconds


def _footage(wanted: _Wanted) -> Footage:
    from edgenode.bench.footage import BUSY_SHARE, SIZES, Footage

    seconds = wanted.clip_seconds or (60.0 if wanted.workload == "mixed" else 20.0)
    return Footage(SIZES[wanted.size], seconds, BUSY_SHARE[wanted.workload])


def _address(clip: str) -> str:
    return clip if "://" in clip or clip.startswith("synthetic:") else str(Path(clip).absolute())


def camera_numbers(text: str) -> list[int]:
    """Of `--cameras`. Raises click.UsageError."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise click.UsageError(f"--cameras: {text!r} is not a list of numbers such as 1,4,16")
    return numbers


def _line(each: Cost) -> str:
    latency = "" if each.p99_s is None else f", p99 {1000 * each.p99_s:.0f} ms"
    parts = ", ".join(
        f"{name} {used:.2f}" for name, used in sorted(each.cpu_by_thread.items()) if used >= 0.01
    )
    share = f", {each.decoded} of {each.packets} packets decoded" if each.packets else ""
    return (
        f"{each.kind}, {each.cameras} cameras: {each.cpu_s:.2f} CPU-seconds in {each.wall_s:.1f} s"
        f"{f' ({parts})' if parts else ''}, {each.images} images, RSS {each.rss_bytes / 2**20:.0f} MiB{latency}{share}"
    )
