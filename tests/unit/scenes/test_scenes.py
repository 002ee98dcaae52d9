"""The drawn scenes: pure functions of time, and what they say is what they draw."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
import pytest

from edgenode.capture.scenes import Scene, scene_named, scene_names
from edgenode.records import F32, U8

SEEDS = (0, 3, 11, 27)


@pytest.fixture(params=[(name, seed) for name in scene_names() for seed in SEEDS], ids=str)
def scene(request: pytest.FixtureRequest) -> Scene:
    name, seed = request.param
    return scene_named(name, seed)


def cut(scene: Scene, region: str, t_s: float) -> U8:
    x0, y0, x1, y1 = scene.regions[region].box
    width, height = scene.size
    return scene.draw(t_s)[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)]


def settled_instants(scene: Scene, region: str, wanted: int, start_s: float = 1000.0) -> list[float]:
    """`wanted` instants at which the truth of `region` is settled, about 0.7 s apart."""
    instants = (start_s + 0.7 * step for step in range(100_000))
    found = (t_s for t_s in instants if scene.settled(t_s)[region])
    return [t_s for _, t_s in zip(range(wanted), found, strict=False)]


def test_a_picture_has_the_promised_form(scene: Scene) -> None:
    picture = scene.draw(12.5)
    assert picture.shape == (scene.size[1], scene.size[0], 3)
    assert picture.dtype == np.uint8
    assert 30 < picture.mean() < 220


def test_the_same_instant_gives_the_same_picture_in_any_order(scene: Scene) -> None:
    instants = [5.0, 86_400.25, 0.0, 5.1, 1.5e7, 5.0]
    forth = [scene.draw(t_s) for t_s in instants]
    again = scene_named(scene.name, scene.seed)
    back = [again.draw(t_s) for t_s in reversed(instants)]
    for picture, same in zip(forth, reversed(back), strict=True):
        assert np.array_equal(picture, same)
    assert not np.array_equal(forth[0], forth[3])


def test_drawing_on_several_threads_changes_nothing(scene: Scene) -> None:
    instants = [100.0 + 0.31 * step for step in range(12)]
    alone = [scene.draw(t_s) for t_s in instants]
    results: dict[int, list[U8]] = {}

    def draw(which: int) -> None:
        results[which] = [scene.draw(t_s) for t_s in instants]

    threads = [threading.Thread(target=draw, args=(which,)) for which in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for drawn in results.values() for a, b in zip(alone, drawn, strict=True))


def test_a_picture_belongs_to_who_asked_for_it(scene: Scene) -> None:
    first = scene.draw(7.0)
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(scene.draw(7.0), kept)


def test_seeds_differ_in_looks_and_timing() -> None:
    for name in scene_names():
        one, other = scene_named(name, 1), scene_named(name, 2)
        assert np.abs(one.draw(50.0).astype(int) - other.draw(50.0)).mean() > 5
        instants = [50.0 + 0.5 * step for step in range(60)]
        assert [one.truth(t_s) for t_s in instants] != [other.truth(t_s) for t_s in instants]


def test_truth_names_known_labels_and_every_label_comes_up(scene: Scene) -> None:
    seen: dict[str, set[str]] = {region: set() for region in scene.regions}
    for step in range(1200):
        truth, settled = scene.truth(0.25 * step), scene.settled(0.25 * step)
        assert truth.keys() == settled.keys() == scene.regions.keys()
        for region, label in truth.items():
            seen[region].add(label)
    assert {region: tuple(sorted(labels)) for region, labels in seen.items()} == {
        region: found.labels for region, found in scene.regions.items()
    }


def test_most_of_the_time_the_truth_is_settled(scene: Scene) -> None:
    for region in scene.regions:
        assert np.mean([scene.settled(0.1 * step)[region] for step in range(2000)]) > 0.8


def test_intervals_agree_with_the_truth_and_leave_no_gap(scene: Scene) -> None:
    start_s, end_s = 400.0, 460.0
    found = scene.truth_intervals(start_s, end_s)
    for region in scene.regions:
        mine = [interval for interval in found if interval.region == region]
        assert mine[0].start_s == start_s
        assert mine[-1].end_s == end_s
        for before, after in pairwise(mine):
            assert before.end_s == after.start_s
            assert before.label != after.label
        for interval in mine:
            middle_s = (interval.start_s + interval.end_s) / 2
            assert scene.truth(middle_s)[region] == interval.label
            assert scene.truth(interval.start_s + 0.002)[region] == interval.label


def test_truth_turns_only_where_it_is_not_settled(scene: Scene) -> None:
    for interval in scene.truth_intervals(200.0, 230.0):
        if interval.start_s > 200.0:
            assert not scene.settled(interval.start_s)[interval.region]


def lamp(picture: U8) -> str:
    """Which lamp is lit: the third of the head that is brightest at its brightest."""
    grey = picture.max(axis=2).astype(float)
    middle = grey[:, grey.shape[1] // 4 : -grey.shape[1] // 4]
    thirds = np.array_split(middle[6:-8], 3)
    return ("red", "amber", "green")[int(np.argmax([np.percentile(third, 85) for third in thirds]))]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_lit_lamp_is_the_one_that_shines(seed: int) -> None:
    scene = scene_named("junction", seed)
    for t_s in settled_instants(scene, "signal", 60):
        assert lamp(cut(scene, "signal", t_s)) == scene.truth(t_s)["signal"], t_s


def unlike_background(scene: Scene, region: str) -> Callable[[float], float]:
    """The share of the region's pixels that differ from what is usually there."""

    def seen(t_s: float) -> F32:
        picture = cv2.blur(cut(scene, region, t_s), (5, 5)).astype(np.float32)
        return np.asarray(picture * (100.0 / np.median(picture)), dtype=np.float32)

    usual = np.median([seen(13.7 * step) for step in range(31)], axis=0)

    def share(t_s: float) -> float:
        return float((np.abs(seen(t_s) - usual).max(axis=2) > 25).mean())

    return share


@pytest.mark.parametrize("seed", SEEDS)
def test_a_vehicle_is_where_the_road_looks_different(seed: int) -> None:
    scene = scene_named("junction", seed)
    share = unlike_background(scene, "stop_line")
    instants = settled_instants(scene, "stop_line", 80)
    truth = [scene.truth(t_s)["stop_line"] == "vehicle" for t_s in instants]
    assert 5 < sum(truth) < 75
    assert (
        np.mean([(share(t_s) > 0.05) == present for t_s, present in zip(instants, truth, strict=True)]) > 0.97
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_belt_is_dark_where_no_part_lies(seed: int) -> None:
    """A whole part covers a sixth of the region and touches neither end of it."""
    scene = scene_named("line", seed)
    for t_s in settled_instants(scene, "belt", 60):
        metal = cut(scene, "belt", t_s).max(axis=2) > 118
        columns = metal.mean(axis=0)
        whole = metal.mean() > 0.09 and max(columns[:4].max(), columns[-4:].max()) < 0.12
        assert whole == (scene.truth(t_s)["belt"] != "empty"), t_s


def test_nobody_is_past_the_line_on_red_but_those_who_ran_the_light() -> None:
    """Red and a vehicle together last long enough to be seen, and happen now and then."""
    scene = scene_named("junction", 5)
    both = [
        t_s
        for t_s in np.arange(0.0, 400.0, 0.1)
        if scene.truth(float(t_s)) == {"signal": "red", "stop_line": "vehicle"}
    ]
    runs = np.split(both, np.flatnonzero(np.diff(both) > 0.15) + 1)
    assert 4 <= len(runs) <= 20
    assert min(len(run) for run in runs) * 0.1 > 0.5


@pytest.mark.parametrize(
    ("wrong", "advice"), [("lines", "'line'"), ("juncton", "'junction'"), ("zoo", "there are junction, line")]
)
def test_an_unknown_scene_is_refused_with_advice(wrong: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        scene_named(wrong, 0)
