"""`edgenode bench` runs, whatever the figures are: those belong to a quiet machine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from edgenode.bench.rig import tiles
from edgenode.commands.bench import bench_command


def bench(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(bench_command, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


def test_throughput_compares_the_node_with_bare_loops() -> None:
    options = ("--cameras", "2", "--regions", "4", "--seconds", "0.5", "--rounds", "1")
    answer = bench("throughput", *options)
    (only,) = answer["rounds"]
    assert answer["regions_a_camera"] == 4
    assert min(only["alone_images_per_s"], only["bare_images_per_s"], only["node_images_per_s"]) > 0.0
    assert only["ratio"] == pytest.approx(only["node_images_per_s"] / only["bare_images_per_s"])


def test_cost_runs_every_rival_on_the_same_task() -> None:
    kinds = "plain,tuned,decode,onnxruntime,packet"
    options = ("--kinds", kinds, "--cameras", "1", "--seconds", "1", "--warm-up", "0", "--rounds", "1")
    answer = bench("cost", *options)
    assert [run["kind"] for run in answer["runs"]] == kinds.split(",")
    assert all(run["cpu_s"] > 0.0 for run in answer["runs"])


@pytest.mark.parametrize("wrong", [("--kinds", "nothing"), ("--cameras", "0"), ("--cameras", "many")])
def test_wrong_options_are_told(wrong: tuple[str, str]) -> None:
    result = CliRunner().invoke(bench_command, ["cost", *wrong])
    assert result.exit_code == 2
    assert wrong[0] in result.stderr


def test_tiles_cover_the_frame_once() -> None:
    assert tiles(1) == []
    boxes = [region.box for region in tiles(8)]
    assert sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes if boxes) == pytest.approx(1.0)
    assert len({region.name for region in tiles(8)}) == 8
