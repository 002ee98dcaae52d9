"""`edgenode bench` runs, whatever the figures are: those belong to a quiet machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from edgenode.bench.models import NETS, write_model
from edgenode.bench.plot import cost_plot
from edgenode.bench.report import linearity, ratios, rss_per_camera, table
from edgenode.bench.rig import tiles
from edgenode.bench.rivals import Cost
from edgenode.commands.bench import bench_command
from edgenode.commands.bench_material import MADE_MODELS
from edgenode.inference.classifier import Classifier


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
    assert 0.0 < only["thread_share"] < 1.5
    assert only["ratio"] == pytest.approx(only["node_images_per_s"] / only["bare_images_per_s"])


def test_cost_runs_every_rival_on_the_same_task() -> None:
    kinds = "plain,tuned,decode,keyframes,onnxruntime,packet"
    clip = ("--workload", "mixed", "--size", "360p", "--clip-seconds", "4")
    options = ("--kinds", kinds, "--cameras", "2", "--seconds", "1", "--warm-up", "0", "--rounds", "1")
    answer = bench("cost", *clip, *options)
    assert [run["kind"] for run in answer["runs"]] == kinds.split(",")
    assert all(run["cpu_s"] > 0.0 for run in answer["runs"])
    by_kind = {run["kind"]: run for run in answer["runs"]}
    assert by_kind["decode"]["decoded"] > by_kind["keyframes"]["decoded"] > 0
    node = by_kind["packet"]
    assert {"cameras", "infer"} <= set(node["cpu_by_thread"])
    assert node["images"] > 0
    assert set(answer["ratios"]) == {f"packet / {rival}, 2 cameras" for rival in ("plain", "tuned", "limits")}
    assert answer["recall"]["moving"] == answer["recall"]["found"] > 0


def test_overload_counts_what_is_dropped_and_compares_with_the_unloaded_node() -> None:
    answer = bench("overload", "--factors", "3", "--seconds", "1")
    unloaded, loaded = answer["burdens"]
    assert loaded["factor"] > unloaded["factor"]
    assert loaded["dropped_per_s"] > 0.0
    assert 0.0 < loaded["late_p99_s"] <= loaded["p99_s"] + 5.0
    assert 0.0 < loaded["fairness"] <= 1.0
    assert len(answer["p99_over_unloaded"]) == 1


@pytest.mark.parametrize("wrong", [("--kinds", "nothing"), ("--cameras", "0"), ("--cameras", "many")])
def test_wrong_options_are_told(wrong: tuple[str, str]) -> None:
    result = CliRunner().invoke(bench_command, ["cost", *wrong])
    assert result.exit_code == 2
    assert wrong[0] in result.stderr


def test_tiles_cover_the_frame_once() -> None:
    assert tiles(1) == []
    boxes = [region.box for region in tiles(8) if region.box is not None]
    assert sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes) == pytest.approx(1.0)
    assert len({region.name for region in tiles(8)}) == 8


def run_of(kind: str, cameras: int, cpu_s: float, rss: int = 2**20, expected: int = 0) -> Cost:
    return Cost(kind, cameras, cpu_s, 10.0, 100, rss, expected=expected, decoded=100)


def test_a_loop_that_fell_behind_is_reckoned_at_all_its_images() -> None:
    rounds = [[run_of("plain", 4, 10.0, expected=200), run_of("none", 4, 5.0)]]
    assert ratios(rounds)["none / plain, 4 cameras"].median == pytest.approx(0.25)
    assert "100 (behind)" in table(rounds)


def test_ratios_are_of_the_same_round() -> None:
    rounds = [
        [
            run_of("plain", 4, 10.0),
            run_of("decode", 4, 1.0),
            run_of("onnxruntime", 4, 1.0),
            run_of("packet", 4, 1.0),
        ],
        [
            run_of("plain", 4, 40.0),
            run_of("decode", 4, 4.0),
            run_of("onnxruntime", 4, 1.0),
            run_of("packet", 4, 2.0),
        ],
    ]
    found = ratios(rounds)
    assert found["packet / plain, 4 cameras"].lowest == pytest.approx(0.05)
    assert found["packet / plain, 4 cameras"].highest == pytest.approx(0.1)
    assert found["packet / limits, 4 cameras"].median == pytest.approx(0.45)
    assert "packet, " not in table(rounds)
    assert table(rounds).count("\n") == 5


def test_linearity_and_memory_come_from_a_straight_line() -> None:
    straight = [[run_of("none", n, 1.0 + 2.0 * n, (100 + 5 * n) * 2**20) for n in (1, 4, 16)]]
    assert linearity(straight, "none") == pytest.approx(0.0, abs=1e-9)
    base, each = rss_per_camera(straight, "none") or (0.0, 0.0)
    assert (base / 2**20, each / 2**20) == pytest.approx((100.0, 5.0))
    bent = [[run_of("none", 1, 1.0), run_of("none", 2, 2.0), run_of("none", 3, 6.0)]]
    assert (linearity(bent, "none") or 0.0) > 0.2
    assert linearity([[run_of("none", 1, 1.0)]], "none") is None


def test_the_plot_is_well_formed_and_holds_every_line() -> None:
    text = cost_plot({"plain & simple": [(1, 10.0), (64, 900.0)], "node": [(1, 1.0), (64, 40.0)]}, "a < b")
    root = ElementTree.fromstring(text)
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2
    assert "plain & simple" in "".join(root.itertext())


@pytest.mark.parametrize("name", MADE_MODELS)
def test_made_models_pass_the_gate_that_every_model_passes(name: str, tmp_path: Path) -> None:
    write_model(name, tmp_path / "made.onnx")
    with Classifier.load(tmp_path / "made.onnx") as classifier:
        assert classifier.card.name == name


def test_made_models_are_the_ones_that_can_be_asked_for() -> None:
    assert tuple(NETS) == MADE_MODELS
