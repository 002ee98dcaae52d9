"""Choosing how models are run, and writing the choice down."""

from __future__ import annotations

import logging
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from edgenode.cli import main
from edgenode.configuration.edit import with_values, write_values
from edgenode.errors import ConfigurationError
from edgenode.inference.runtime import available_providers
from edgenode.settings import Settings
from edgenode.tuning import Candidate, choose, max_wait_s, thread_counts
from edgenode.wiring import fallen_back, load_classifiers

MODEL = Path(__file__).parents[2] / "edgenode" / "demo" / "models" / "line_parts.onnx"


def way(
    threads: int, batch: int, images_per_s: float, cpu_ms: float, run_ms: float, provider: str = "cpu"
) -> Candidate:
    return Candidate(provider, threads, batch, images_per_s, cpu_ms / 1000, run_ms / 1000)


WAYS = [
    way(1, 1, 1000, 1.00, 1.0),
    way(1, 8, 1200, 0.80, 6.7),
    way(1, 32, 1210, 0.82, 26.0),
    way(2, 1, 1500, 1.40, 0.7),
    way(2, 8, 2000, 1.00, 4.0),
]


def test_each_goal_chooses_what_it_says() -> None:
    assert (
        choose(WAYS, "energy") == WAYS[2]
    )  # as little CPU as batch 8 within what a run differs by, and more images
    assert choose(WAYS, "throughput") == WAYS[4]
    assert choose(WAYS, "latency") == WAYS[3]


def test_waiting_is_chosen_only_where_it_pays() -> None:
    assert max_wait_s(WAYS, WAYS[1]) == 0.0
    gpu = [way(1, 1, 500, 1, 2.0, "cuda"), way(1, 32, 8000, 1, 4.0, "cuda")]
    assert max_wait_s(gpu, gpu[1]) == pytest.approx(0.004)
    assert max_wait_s(gpu, gpu[0]) == 0.0


def test_thread_counts_double_up_to_the_cores() -> None:
    assert thread_counts(1) == (1,)
    assert thread_counts(6) == (1, 2, 4)
    assert thread_counts(8) == (1, 2, 4, 8)


def test_tune_measures_and_writes_into_a_configuration(tmp_path: Path) -> None:
    config = tmp_path / "edgenode.toml"
    before = f'# mine\n[models.parts]\nfile = "{MODEL}" # keep\n\n[inference]\nthreads = 7  # why\nmax_age = "1s"\n'
    config.write_text(before)
    config.chmod(0o640)
    arguments = ["tune", "--config", str(config), "--batches", "1,2", "--rounds", "1", "--write"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    text = config.read_text()
    written = tomllib.loads(text)["inference"]
    assert written["threads"] in thread_counts()
    assert written["max_batch"] in (1, 2)
    assert written["provider"] in available_providers()
    assert written["max_age"] == "1s"
    assert text.startswith("# mine\n")
    assert "# why" in text
    assert config.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "edgenode.toml.before").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edgenode.toml", "edgenode.toml.before"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "[energy]\nidle_watts = 4.2\n"),
        ("a = 1", "a = 1\n\n[energy]\nidle_watts = 4.2\n"),
        ("[energy]", "[energy]\nidle_watts = 4.2\n"),
        ("[energy] # x\nb = 2\n[z]\n", "[energy] # x\nidle_watts = 4.2\nb = 2\n[z]\n"),
        ("[energy]\nidle_watts=3 # y\n", "[energy]\nidle_watts=4.2 # y\n"),
        ("[other]\nidle_watts = 3\n", "[other]\nidle_watts = 3\n\n[energy]\nidle_watts = 4.2\n"),
    ],
)
def test_one_value_is_changed_and_nothing_else(text: str, expected: str) -> None:
    assert with_values(text, "energy", {"idle_watts": 4.2}) == expected


@pytest.mark.parametrize("text", ["energy = { on_battery = 0.5 }\n", "energy.on_battery = 0.5\n"])
def test_a_table_that_cannot_be_edited_is_left_and_the_lines_are_said(tmp_path: Path, text: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        write_values(config, "energy", {"idle_watts": 4.2})
    assert "idle_watts = 4.2" in caught.value.problems[0]
    assert config.read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["c.toml"]


@given(
    st.lists(
        st.sampled_from(["[a]\n", "x = 1\n", "# c\n", "\n", 'y = "[t]"\n', "[t]\n", "k = 3\n", "[[r]]\n"]),
        max_size=8,
    )
)
def test_whatever_the_file_the_result_says_what_was_meant_or_nothing_is_done(parts: list[str]) -> None:
    text = "".join(parts)
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    try:
        after = tomllib.loads(with_values(text, "t", {"k": 5}))
    except ConfigurationError:
        return
    assert after == {**before, "t": {**before.get("t", {}), "k": 5}}


def test_without_its_provider_a_model_runs_on_the_processor_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = next(name for name in ("tensorrt", "cuda", "openvino") if name not in available_providers())
    settings = Settings.model_validate(
        {"inference": {"provider": missing}, "models": {"parts": {"file": str(MODEL)}}}
    )
    with caplog.at_level(logging.WARNING):
        classifiers = load_classifiers(settings, tmp_path)
    try:
        assert classifiers["parts"].provider == "cpu"
        assert (
            fallen_back(settings, classifiers)
            == f"{missing} is not available: parts on the processor instead"
        )
        assert "install onnxruntime" in caplog.text
    finally:
        classifiers["parts"].close()


def test_calibration_asks_twice_and_writes_a_line_through_both(tmp_path: Path) -> None:
    config = tmp_path / "edgenode.toml"
    config.write_text("[node]\n")
    arguments = ["energy", "calibrate", "--config", str(config), "--seconds", "1", "--write"]
    done = CliRunner().invoke(main, arguments, input="0.001\n900\n", catch_exceptions=False)
    # On a machine that is busy otherwise the two phases may look alike; then it must say so and write nothing.
    if done.exit_code == 0:
        energy = tomllib.loads(config.read_text())["energy"]
        assert energy["core_watts"] > 0
    else:
        assert "too close together" in done.output or "makes no sense" in done.output
        assert config.read_text() == "[node]\n"


def test_a_configuration_that_is_a_link_stays_one(tmp_path: Path) -> None:
    real, link = tmp_path / "real.toml", tmp_path / "edgenode.toml"
    real.write_text("[inference]\nthreads = 1\n", encoding="utf-8")
    link.symlink_to(real)
    write_values(link, "inference", {"threads": 2})
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8") == "[inference]\nthreads = 2\n"
