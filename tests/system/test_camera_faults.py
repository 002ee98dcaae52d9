"""Every fault of a camera ends when the camera is back, and the others do not notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenode.records import CameraStatus
from tests.capture_parts import Recorder, camera_spec, running
from tests.system.camera_faults import FAULTS, OLD_S, Films, suffer, suffer_all


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    return Films.made(tmp_path_factory.mktemp("films"))


def test_every_fault_ends_when_the_camera_is_back_and_no_old_frame_is_taken_for_a_new_one(
    nothing_left_behind: None, films: Films, tmp_path: Path
) -> None:
    """Twenty cameras with a fault each beside one without."""
    steady = Recorder()
    with running(camera_spec("synthetic:numbers?fps=10", tmp_path, fps=10), steady):
        steady.wait_samples(1)
        outcomes = suffer_all(films, tmp_path)
        seen = len(steady.samples)
        steady.wait_samples(3)
    assert [outcome.fault for outcome in outcomes] == sorted(FAULTS)
    assert seen > 10
    assert {report.status for report in steady.reports} == {CameraStatus.ONLINE}
    for outcome in outcomes:
        print(f"{outcome.fault}: back after {outcome.back_after_s:.2f} s, oldest {outcome.oldest_s:.2f} s")
        assert outcome.oldest_s <= OLD_S, outcome


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_how_long_each_fault_takes_alone(
    name: str, nothing_left_behind: None, films: Films, tmp_path: Path
) -> None:
    """Five rounds, with the figures printed (`-s`)."""
    outcomes = [suffer(name, films, tmp_path) for _ in range(5)]
    times = sorted(outcome.back_after_s for outcome in outcomes)
    oldest_s = max(outcome.oldest_s for outcome in outcomes)
    print(f"{name}: back after {times[2]:.2f} s, at most {times[-1]:.2f} s; oldest frame {oldest_s:.2f} s")
    assert oldest_s <= OLD_S
