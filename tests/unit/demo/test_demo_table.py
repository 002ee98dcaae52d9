"""The demo's table and lines, rendered to text."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from edgenode.demo.state import DemoState, EventView, Links, RegionView, Spread
from edgenode.demo.table import event_line, line, render

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STATE = DemoState(
    elapsed_s=42.3,
    regions=(
        RegionView("line_1", "belt", "defect", 0.97, 0.8, "defect", True, 411, 415),
        RegionView("junction", "signal", "red", 0.999, 3.2, "green", True, 420, 420),
        RegionView("junction", "stop_line", "", 0.0, 0.0, "", False, 0, 0),
    ),
    events=(
        EventView(AT, "red_light_running", "critical", None, "the signal is red"),
        EventView(AT, "defective_part", "warning", 1.4, "the belt shows a defect"),
    ),
    started={"defective_part": 4, "red_light_running": 1},
    classifications=1260,
    classifications_per_s=30.1,
    messages=411,
    messages_per_s=9.8,
    decided=Spread(4.2, 11.8, 999),
    received=Spread(9.0, 21.0, 300),
    cpu_percent=18.2,
    links=Links(
        "http://127.0.0.1:9464/?refresh=2",
        "http://127.0.0.1:9464/metrics",
        "127.0.0.1",
        41327,
        "edgenode/v1/demo/#",
    ),
    notices=("edgenode.delivery: something to know",),
)


def text_of(state: DemoState, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(render(state))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_table_says_it_all_within_the_width(width: int) -> None:
    text = text_of(STATE, width)
    assert max(len(row) for row in text.splitlines()) <= width
    for expected in (
        *("line_1", "belt", "defect", "0.97", "99.0%", "100.0%"),
        *("red_light_running 1", "defective_part 4", "1.4 s", "now", "30.1", "411", "18 %"),
        *("4 ms", "12 ms", "9 ms", "21 ms"),
        *(
            "http://127.0.0.1:9464/?refresh=2",
            "http://127.0.0.1:9464/metrics",
            "-p 41327",
            "edgenode/v1/demo/#",
            "something to know",
        ),
    ):
        assert expected in text, expected


def test_a_state_that_is_not_the_truth_is_marked() -> None:
    rows = text_of(STATE, 100).splitlines()
    assert "= defect" in next(row for row in rows if "belt" in row)
    assert "≠ green" in next(row for row in rows if "signal" in row)


def test_a_region_nobody_has_judged_shows_no_number() -> None:
    row = next(row for row in text_of(STATE, 100).splitlines() if "stop_line" in row)
    assert "%" not in row
    assert "0.00" not in row


def test_an_empty_state_can_be_shown() -> None:
    bare = replace(STATE, events=(), decided=None, received=None, links=None, notices=())
    text = text_of(bare, 80)
    assert "none yet" in text
    assert "metrics" not in text


def test_plain_lines_say_the_same() -> None:
    text = line(STATE)
    for expected in (
        "line_1.belt=defect 99.0%",
        "junction.stop_line=- -",
        "red_light_running:1",
        "p99 12 ms",
        "mqtt 411",
    ):
        assert expected in text
    assert "\n" not in text
    assert event_line(STATE.events[1]) == "03:04:05 warning defective_part 1.4 s: the belt shows a defect"
