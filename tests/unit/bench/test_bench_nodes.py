"""The benchmarks that run a whole node against a broker, and what they reckon with."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgenode.bench.joules import Joules
from edgenode.bench.report import table
from edgenode.bench.rivals import Cost
from edgenode.bench.scaling import fit
from edgenode.commands.bench import bench_command
from edgenode.errors import EdgeNodeError
from edgenode.telemetry.cpu_power import MODEL


def bench(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(bench_command, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


def run_of(cameras: int, cpu_s: float, joules: float | None = None) -> Cost:
    source = MODEL if joules is not None else ""
    return Cost("none", cameras, cpu_s, 10.0, 100, 2**20, joules=joules, energy_source=source)


def test_an_idle_node_is_measured_by_thread() -> None:
    answer = bench("idle", "--seconds", "1", "--warm-up", "0", "--model", "tiny")
    assert answer["broker"]
    assert answer["idle"]["images"] == 0
    assert answer["idle"]["rss_bytes"] > 2**20
    assert 0.0 <= answer["core_share"] < 10.0


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--rtsp",)])
def test_every_frame_is_an_event_and_its_acknowledgement_is_timed(options: tuple[str, ...]) -> None:
    answer = bench(
        "latency", "--model", "tiny", "--size", "360p", "--load", "0.05", "--seconds", "2", *options
    )
    found = answer["latency"]
    assert found["source"] == ("rtsp" if options else "file")
    assert 0 < found["messages"] <= found["expected"] * 1.5 + 2
    assert 0.0 < found["p50_s"] <= found["p99_s"]
    assert answer["excess_s"] < found["p99_s"]


@pytest.mark.slow
def test_scaling_finds_a_pace_and_fits_a_line(tmp_path: Path) -> None:
    plot = tmp_path / "scaling.svg"
    answer = bench(
        *("scaling", "--model", "tiny", "--size", "360p", "--cameras", "1,2,3", "--seconds", "1"),
        *("--share", "0.1", "--plot", str(plot)),
    )
    assert [run["cameras"] for run in answer["runs"]] == [1, 2, 3]
    assert 1 <= answer["fps"] <= 15
    assert set(answer["fit"]["distances"]) == {"1", "2", "3"}
    assert plot.read_text().startswith("<svg")


@pytest.mark.slow
def test_cost_plays_rtsp_and_knows_joules_by_a_calibration() -> None:
    answer = bench(
        *("cost", "--model", "tiny", "--workload", "busy", "--size", "360p", "--clip-seconds", "2", "--rtsp"),
        *("--kinds", "tuned,none", "--cameras", "2", "--seconds", "2", "--warm-up", "2", "--rounds", "1"),
        *("--watts", "3.0", "2.5"),
    )
    assert answer["energy_source"] == [MODEL]
    for run in answer["runs"]:
        assert run["images"] > 0
        assert run["joules"] > 0.0


def test_bare_decoding_is_not_offered_over_rtsp() -> None:
    result = CliRunner().invoke(bench_command, ["cost", "--rtsp", "--kinds", "decode"])
    assert result.exit_code == 2
    assert "--rtsp" in result.stderr


def test_a_line_is_fitted_by_relative_distances() -> None:
    straight = [[run_of(n, 0.1 + 0.3 * n) for n in (1, 2, 4, 64)]]
    line = fit(straight, "none")
    assert (line.base_cpu_share, line.camera_cpu_share) == pytest.approx((0.01, 0.03))
    assert line.largest == pytest.approx(0.0, abs=1e-9)
    bent = [[run_of(1, 1.0), run_of(2, 2.0), run_of(3, 6.0)]]
    assert fit(bent, "none").largest > 0.2
    with pytest.raises(EdgeNodeError, match="three numbers"):
        fit([[run_of(1, 1.0), run_of(2, 2.0)]], "none")


def test_joules_stand_in_the_table_with_their_source_where_they_are_known() -> None:
    text = table([[run_of(4, 1.0, 8.0), run_of(8, 2.0)]])
    assert "| 2.00 (model) | 80.0 |" in text
    assert text.splitlines()[-1].endswith("|  |  |")
    assert "J a camera" not in table([[run_of(4, 1.0)]])


def test_joules_are_worked_out_from_cpu_time_only_by_a_calibration() -> None:
    uncalibrated = Joules(None).drawn(1.0)
    assert uncalibrated is None or uncalibrated.source != MODEL
    meter, deadline_s = Joules((5.0, 4.0)), time.monotonic() + 30.0
    while (drawn := meter.drawn(0.05)) is None:  # until the kernel's count of busy time has moved
        assert time.monotonic() < deadline_s
        sum(range(100_000))
    assert drawn.joules > 0.0
