from __future__ import annotations

from datetime import UTC, datetime
from math import inf, isnan

import cv2
import numpy as np

from edgenode.records import Decision
from edgenode.replay.scoring import EventInterval, TruthInterval
from edgenode.replay.timeline import (
    LEFT,
    PALETTE,
    PLOT,
    RIGHT,
    STRIP,
    TOP,
    WIDTH,
    Track,
    draw_timeline,
    timeline_png,
)

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def decision(label: str, scores: dict[str, float]) -> Decision:
    return Decision("cam", "left", label, 0.9, label, 0.9, "", True, 0.0, T0, 0.0, T0, None, scores)


def track() -> Track:
    made = Track("cam", "left", {"absent": (0.6, 0.4)})
    for i in range(101):
        absent = 0.9 if 30 <= i < 60 else 0.1
        label = "absent" if absent > 0.5 else "present"
        made.add(decision(label, {"absent": absent, "present": 1 - absent}), i / 10)
    made.events.append(EventInterval("", "missing", "left", "absent", 3.0, 6.0))
    made.truth.append(TruthInterval("", "left", "absent", 2.8, 6.1))
    return made


def color_at(picture: np.ndarray, at_s: float, y: int) -> tuple[int, ...]:
    x = LEFT + round(at_s / 10.0 * (WIDTH - LEFT - RIGHT))
    return tuple(int(value) for value in picture[y, x])


def test_strips_show_state_event_and_truth_at_their_times() -> None:
    picture = draw_timeline([track()])
    for strip, begin, end in ((0, 3.0, 6.0), (1, 3.0, 6.0), (2, 2.8, 6.1)):
        y = TOP + PLOT + strip * STRIP + 1
        assert color_at(picture, (begin + end) / 2, y) == PALETTE[0]
        assert color_at(picture, begin + 0.05, y) == PALETTE[0]
        assert color_at(picture, begin - 0.05, y) != PALETTE[0]
        assert color_at(picture, end + 0.1, y) != PALETTE[0]


def test_scores_are_lines_at_their_height() -> None:
    made = track()
    made.thresholds.clear()
    picture = draw_timeline([made])
    base, span = TOP + PLOT - 6, PLOT - 12
    x = LEFT + round(0.45 * (WIDTH - LEFT - RIGHT))
    column = picture[TOP : TOP + PLOT, x].astype(int)
    blue = np.abs(column - np.array(PALETTE[0])).sum(axis=1)
    assert abs(int(blue.argmin()) + TOP - (base - round(0.9 * span))) <= 1


def test_png_can_be_read_back() -> None:
    data = timeline_png([track(), track()], "a clip")
    back = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.array_equal(back, draw_timeline([track(), track()], "a clip"))


def test_nothing_open_ends_and_late_labels_can_be_drawn() -> None:
    assert draw_timeline([]).shape[1] == WIDTH
    assert draw_timeline([Track("cam", "left")]).shape[1] == WIDTH
    made = Track("cam", "left")
    made.add(decision("invalid", {}), 0.0)
    made.add(decision("a", {"a": 1.0}), 1.0)
    made.add(decision("invalid", {}), 2.0)
    made.events.append(EventInterval("", "r", "left", "a", 0.5, inf))
    assert isnan(made.scores["a"][0])
    assert isnan(made.scores["a"][2])
    assert made.scores["a"][1] == 1.0
    draw_timeline([made])
