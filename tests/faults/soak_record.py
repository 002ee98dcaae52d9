"""What a soak wrote down, and what is judged and drawn of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.growth import Growth, growth

MOST_MB_AN_HOUR = 1.0


@dataclass
class Sample:
    at_s: float
    rss_mb: float
    threads: int
    files: int


@dataclass
class Happening:
    at_s: float
    what: str
    back_after_s: float | None = None
    """From the repair of a camera until its next classified frame."""


@dataclass
class Record:
    seed: int
    samples: list[Sample] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    events: int = 0
    """Different ones that came."""
    messages: int = 0


def judge(record: Record) -> dict[str, Growth]:
    """Fits the three series over the second half; what grew is a problem. In the first one every kind of fault
    happens for the first time, and the allocator keeps what each needed at most."""
    last_s = record.samples[-1].at_s
    settled = [each for each in record.samples if each.at_s >= last_s / 2.0]
    found = {
        name: growth([each.at_s for each in settled], [float(getattr(each, name)) for each in settled])
        for name in ("rss_mb", "threads", "files")
    }
    limits = {"rss_mb": MOST_MB_AN_HOUR, "threads": 1.0, "files": 1.0}
    for name, fit in found.items():
        if fit.low_an_hour > limits[name]:
            record.problems.append(f"{name} grows: {fit}")
    return found


def draw(record: Record, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 1, figsize=(10, 7), sharex=True)
    minutes = [each.at_s / 60.0 for each in record.samples]
    for axis, (name, label) in zip(
        axes, (("rss_mb", "memory (MiB)"), ("threads", "threads"), ("files", "open files")), strict=True
    ):
        axis.plot(minutes, [getattr(each, name) for each in record.samples], linewidth=1.0)
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        for happening in record.happenings:
            axis.axvline(happening.at_s / 60.0, color="0.9", linewidth=0.6, zorder=0)
    axes[0].set_title("One node under a fault every ten seconds (grey lines)")
    axes[-1].set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
