"""From single runs to what a benchmark says: medians, spread, ratios within each round, a table, a plot."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from edgenode.bench.rivals import GATES, Cost

Rounds = Sequence[Sequence[Cost]]
"""The runs of each round, in the order in which they ran."""


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lowest:.2f} to {self.highest:.2f})"


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def cpu_spreads(rounds: Rounds) -> dict[tuple[str, int], Spread]:
    """CPU-seconds by kind and number of cameras."""
    return {key: spread([each.cpu_s for each in runs]) for key, runs in _grouped(rounds).items()}


_KEPT_UP = 0.98
"""A loop that classified less than this share of what was due has fallen behind."""


def ratios(rounds: Rounds) -> dict[str, Spread]:
    """What each node used over each rival beside it, run by run of the same round and number of cameras.

    A loop that fell behind is reckoned at what all its images would have cost it. `limits` is bare decoding and
    bare onnxruntime of as many frames and images as the node decoded and classified.
    """
    found: dict[str, list[float]] = {}
    for runs in rounds:
        by_key = {(each.kind, each.cameras): each for each in runs}
        for each in runs:
            if each.kind not in GATES:
                continue
            beside = {kind: by_key.get((kind, each.cameras)) for kind in ("plain", "tuned")}
            costs = {kind: _whole(rival) for kind, rival in beside.items() if rival is not None}
            decode, model = (by_key.get((kind, each.cameras)) for kind in ("decode", "onnxruntime"))
            if decode is not None and model is not None and decode.decoded and model.images:
                costs["limits"] = (
                    decode.cpu_s * each.decoded / decode.decoded + model.cpu_s * each.images / model.images
                )
            for kind, cpu_s in costs.items():
                if cpu_s:
                    name = f"{each.kind} / {kind}, {each.cameras} cameras"
                    found.setdefault(name, []).append(each.cpu_s / cpu_s)
    return {name: spread(values) for name, values in found.items()}


def _whole(loop: Cost) -> float:
    behind = 0 < loop.images < _KEPT_UP * loop.expected
    return loop.cpu_s * loop.expected / loop.images if behind else loop.cpu_s


def table(rounds: Rounds) -> str:
    """Medians over the rounds, as Markdown."""
    metered = any(each.joules is not None for runs in rounds for each in runs)
    lines = [
        "| | cameras | CPU-seconds (lowest to highest) | % of a core | images | dropped | p50 ms | p99 ms | RSS MiB |"
        + (" J a camera | mJ an image |" if metered else ""),
        "|---|---|---|---|---|---|---|---|---|" + ("---|---|" if metered else ""),
    ]
    for (kind, cameras), runs in _grouped(rounds).items():
        share = statistics.median(100.0 * each.cpu_s / each.wall_s for each in runs)
        dropped = statistics.median(sum(each.dropped.values()) for each in runs)
        cells = [
            kind,
            str(cameras),
            str(spread([each.cpu_s for each in runs])),
            f"{share:.1f}",
            f"{statistics.median(each.images for each in runs):.0f}" + (" (behind)" if _behind(runs) else ""),
            f"{dropped:.0f}" if kind in GATES else "",
            _milliseconds([each.p50_s for each in runs]),
            _milliseconds([each.p99_s for each in runs]),
            f"{statistics.median(each.rss_bytes for each in runs) / 2**20:.0f}",
        ]
        cells += _energy(runs) if metered else []
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _energy(runs: Sequence[Cost]) -> list[str]:
    """Joules a camera with their source, millijoules an image; empty where nothing is known."""
    known = [each for each in runs if each.joules is not None]
    if not known:
        return ["", ""]
    joules = statistics.median(each.joules or 0.0 for each in known)
    images = statistics.median(each.images for each in known)
    each_image = f"{1000.0 * joules / images:.1f}" if images else ""
    return [f"{joules / max(1, known[0].cameras):.2f} ({known[0].energy_source})", each_image]


def _behind(runs: Sequence[Cost]) -> bool:
    return any(each.images < _KEPT_UP * each.expected for each in runs)


def _milliseconds(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{1000.0 * statistics.median(known):.1f}" if known else ""


def _grouped(rounds: Rounds) -> dict[tuple[str, int], list[Cost]]:
    grouped: dict[tuple[str, int], list[Cost]] = {}
    for runs in rounds:
        for each in runs:
            grouped.setdefault((each.kind, each.cameras), []).append(each)
    return grouped


def linearity(rounds: Rounds, kind: str) -> float | None:
    """Largest distance of the medians of `kind` from the straight line through them, over the line's value.

    None with fewer than three numbers of cameras.
    """
    points = [
        (float(cameras), each.median) for (name, cameras), each in cpu_spreads(rounds).items() if name == kind
    ]
    if len(points) < 3:
        return None
    slope, offset = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    return max(abs(y - (slope * x + offset)) / max(1e-9, slope * x + offset) for x, y in points)


def rss_per_camera(rounds: Rounds, kind: str) -> tuple[float, float] | None:
    """Bytes with no camera, and for each further one, by least squares; None with fewer than two numbers."""
    points = {
        cameras: statistics.median(each.rss_bytes for each in runs)
        for (name, cameras), runs in _grouped(rounds).items()
        if name == kind
    }
    if len(points) < 2:
        return None
    slope, offset = statistics.linear_regression(list(points), list(points.values()))
    return offset, slope
