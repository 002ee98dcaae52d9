"""A picture of what was decided and why: scores, thresholds, state, events and truth over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from edgenode.records import INVALID, U8, UNKNOWN, Decision
from edgenode.replay.scoring import EventInterval, TruthInterval

Color = tuple[int, int, int]

WIDTH = 1400
LEFT, RIGHT, TOP, BOTTOM = 170, 20, 34, 34
PLOT, STRIP, GAP = 96, 16, 26
"""Heights in pixels: the scores of a region, one strip under them, the space between regions."""
WHITE, INK, PALE, GRID = (255, 255, 255), (40, 40, 40), (130, 130, 130), (228, 228, 228)
PALETTE: tuple[Color, ...] = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
    (110, 70, 160),
)
"""Okabe and Ito's colours, which people who see colours differently can tell apart; RGB."""
UNCERTAIN: dict[str, Color] = {UNKNOWN: (190, 190, 190), INVALID: (90, 90, 90)}


@dataclass(slots=True)
class Track:
    """What one region went through. `thresholds`: label → (enter, leave), drawn for `labels`."""

    camera: str
    region: str
    thresholds: dict[str, tuple[float, float]] = field(default_factory=dict)
    times_s: list[float] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)
    """label → smoothed score at each time; NaN where there was none."""
    events: list[EventInterval] = field(default_factory=list)
    truth: list[TruthInterval] = field(default_factory=list)

    def add(self, decision: Decision, at_s: float) -> None:
        """Append a decision taken `at_s` seconds after the beginning."""
        before = len(self.times_s)
        self.times_s.append(at_s)
        self.states.append(decision.label)
        for label in decision.scores:
            if label not in self.scores:
                self.scores[label] = [float("nan")] * before
        for label, values in self.scores.items():
            values.append(decision.scores.get(label, float("nan")))


class _Canvas:
    """The picture with its time axis."""

    def __init__(self, height: int, begin_s: float, end_s: float) -> None:
        self.pixels: U8 = np.full((height, WIDTH, 3), 255, np.uint8)
        self.begin_s = begin_s
        self.end_s = max(end_s, begin_s + 1e-3)

    def x(self, at_s: float) -> int:
        share = (min(max(at_s, self.begin_s), self.end_s) - self.begin_s) / (self.end_s - self.begin_s)
        return LEFT + round(share * (WIDTH - LEFT - RIGHT))

    def text(self, text: str, x: int, y: int, color: Color = INK, size: float = 0.42) -> None:
        plain = text.encode("ascii", "replace").decode()
        cv2.putText(self.pixels, plain, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, color, 1, cv2.LINE_AA)

    def line(self, begin: tuple[int, int], end: tuple[int, int], color: Color, width: int = 1) -> None:
        cv2.line(self.pixels, begin, end, color, width, cv2.LINE_AA if width > 1 else cv2.LINE_8)

    def dashes(self, y: int, color: Color, dash: int) -> None:
        for x in range(LEFT, WIDTH - RIGHT, 2 * dash):
            self.line((x, y), (min(x + dash, WIDTH - RIGHT), y), color)

    def bar(self, from_s: float, to_s: float, y: int, color: Color, label: str = "") -> None:
        left, right = self.x(from_s), max(self.x(to_s), self.x(from_s) + 1)
        cv2.rectangle(self.pixels, (left, y), (right, y + STRIP - 3), color, -1)
        if label and right - left > 9 * len(label):
            self.text(label, left + 3, y + STRIP - 6, WHITE, 0.36)


def draw_timeline(tracks: Sequence[Track], title: str = "") -> U8:
    """The picture, uint8 [H, 1400, 3], RGB: for each region the scores with the enter (long dashes) and leave
    (short dashes) thresholds, then strips for the decided state, the events and, where there is any, the
    truth."""
    heights = [_height(track) for track in tracks]
    times = [each for track in tracks for each in track.times_s]
    times.extend(each.end_s for track in tracks for each in track.truth)
    begin_s, end_s = min(times, default=0.0), max(times, default=1.0)
    canvas = _Canvas(TOP + BOTTOM + sum(heights), begin_s, end_s)
    canvas.text(title, LEFT, 20, INK, 0.5)
    bottom = TOP + sum(heights)
    for at_s in _ticks(canvas.begin_s, canvas.end_s):
        x = canvas.x(at_s)
        canvas.line((x, TOP), (x, bottom), GRID)
        canvas.text(f"{at_s:g} s", x - 10, bottom + 16, PALE)
    y = TOP
    for track, height in zip(tracks, heights, strict=True):
        _draw_track(canvas, track, y)
        y += height
    return canvas.pixels


def timeline_png(tracks: Sequence[Track], title: str = "") -> bytes:
    """`draw_timeline` as PNG bytes."""
    done, encoded = cv2.imencode(".png", cv2.cvtColor(draw_timeline(tracks, title), cv2.COLOR_RGB2BGR))
    assert done
    return bytes(encoded.tobytes())


def _height(track: Track) -> int:
    return PLOT + STRIP * (1 + max(len(_rules(track)), 1) + bool(track.truth)) + GAP


def _rules(track: Track) -> list[str]:
    return sorted({event.rule for event in track.events})


def _color(track: Track, label: str) -> Color:
    names = [*track.scores, *(each.label for each in track.truth)]
    if label in names:
        return PALETTE[list(dict.fromkeys(names)).index(label) % len(PALETTE)]
    return UNCERTAIN.get(label, PALE)


def _draw_track(canvas: _Canvas, track: Track, top: int) -> None:
    base = top + PLOT - 6
    span = PLOT - 12

    def y(score: float) -> int:
        return base - round(min(max(score, 0.0), 1.0) * span)

    canvas.text(f"{track.camera}.{track.region}", 8, top + 16)
    for value in (0.0, 0.5, 1.0):
        canvas.line((LEFT, y(value)), (WIDTH - RIGHT, y(value)), GRID)
        canvas.text(f"{value:g}", LEFT - 28, y(value) + 4, PALE, 0.36)
    for place, label in enumerate(list(track.scores)[:5]):
        canvas.text(label[:18], 8, top + 34 + 15 * place, _color(track, label), 0.4)
    for label, (enter, leave) in track.thresholds.items():
        if label in track.scores:
            canvas.dashes(y(enter), _color(track, label), 9)
            canvas.dashes(y(leave), _color(track, label), 3)
    for label, values in track.scores.items():
        points = np.array(
            [
                (canvas.x(at), y(value) if value == value else -1)
                for at, value in zip(track.times_s, values, strict=True)
            ],
            np.int32,
        ).reshape(-1, 2)
        for run in np.split(points, np.nonzero(points[:, 1] < 0)[0]):
            shown = run[run[:, 1] >= 0]
            cv2.polylines(
                canvas.pixels, [shown.reshape(-1, 1, 2)], False, _color(track, label), 1, cv2.LINE_AA
            )
    strip = top + PLOT
    _strip(canvas, "state", strip, _state_runs(track), track)
    for rule in _rules(track) or ["events"]:
        strip += STRIP
        mine = [(each.start_s, each.end_s, each.label) for each in track.events if each.rule == rule]
        _strip(canvas, rule, strip, mine, track)
    if track.truth:
        strip += STRIP
        _strip(
            canvas, "truth", strip, [(each.start_s, each.end_s, each.label) for each in track.truth], track
        )


def _strip(
    canvas: _Canvas, name: str, y: int, runs: Sequence[tuple[float, float, str]], track: Track
) -> None:
    canvas.text(name[:20], 20, y + STRIP - 5, PALE, 0.38)
    for begin_s, end_s, label in runs:
        canvas.bar(begin_s, end_s, y, _color(track, label), label)


def _state_runs(track: Track) -> list[tuple[float, float, str]]:
    runs: list[tuple[float, float, str]] = []
    for at_s, label in zip(track.times_s, track.states, strict=True):
        if runs and runs[-1][2] == label:
            runs[-1] = (runs[-1][0], at_s, label)
        else:
            if runs:
                runs[-1] = (runs[-1][0], at_s, runs[-1][2])
            runs.append((at_s, at_s, label))
    return runs


def _ticks(begin_s: float, end_s: float) -> list[float]:
    """Round times, at most about twelve."""
    for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400):
        if (end_s - begin_s) / step <= 13:
            first = int(begin_s / step) + (begin_s % step > 0)
            places = [round((first + each) * step, 3) for each in range(int((end_s - begin_s) / step) + 1)]
            return [place for place in places if place <= end_s]
    return [begin_s, end_s]
