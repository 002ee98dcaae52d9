"""Parts that share nothing, and what is found to be alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.errors import DataError
from edgenode.records import U8
from tests.pictures_made import class_folders, noise, save
from trainer.dataset import Dataset, Picture, Split, load_dataset, split
from trainer.duplicates import cluster, near_duplicates
from trainer.labelled import Look, Task


def made(labels: Sequence[int | tuple[int, ...]], groups: list[str], names: int = 3) -> Dataset:
    """A data set that exists in memory alone; thumbnails of noise, so that no two are alike."""
    pictures = []
    for index, (label, group) in enumerate(zip(labels, groups, strict=True)):
        look = Look(noise(index, 24, 24), 24, 24, False, "PNG")
        pictures.append(Picture(Path(f"{index}.png"), label, group, f"{index:064x}", None, look))
    task: Task = "multi_label" if labels and isinstance(labels[0], tuple) else "single_label"
    return Dataset(Path(), tuple("abcdefgh"[:names]), task, tuple(pictures))


def parts(result: Split) -> list[set[str]]:
    return [{p.sha256 for p in part.pictures} for part in (result.train, result.val, result.test)]


def test_stratified_to_the_picture() -> None:
    dataset = made([0] * 100 + [1] * 50 + [2] * 10, [""] * 160)
    result = split(dataset, seed=3)
    assert result.train.counts().tolist() == [70, 35, 7]
    assert result.val.counts().tolist() == [10, 5, 1]
    assert result.test.counts().tolist() == [20, 10, 2]


def test_seed_decides() -> None:
    dataset = made([0] * 30 + [1] * 30 + [2] * 30, [""] * 90)
    assert parts(split(dataset, seed=1)) == parts(split(dataset, seed=1))
    assert parts(split(dataset, seed=1)) != parts(split(dataset, seed=2))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=30, max_size=90),
    st.integers(0, 5),
)
def test_groups_never_cross_and_nothing_is_lost(rows: list[tuple[int, int]], seed: int) -> None:
    dataset = made([label for label, _ in rows], [f"g{group}" for _, group in rows])
    if len({group for _, group in rows}) < 3:
        with pytest.raises(DataError):
            split(dataset, seed=seed)
        return
    result = split(dataset, seed=seed)
    where: dict[str, set[int]] = defaultdict(set)
    for number, part in enumerate((result.train, result.val, result.test)):
        for picture in part.pictures:
            where[picture.group].add(number)
    assert all(len(numbers) == 1 for numbers in where.values())
    assert sorted(
        p.sha256 for part in (result.train, result.val, result.test) for p in part.pictures
    ) == sorted(p.sha256 for p in dataset.pictures)


def test_rare_label_reaches_every_part_where_it_can() -> None:
    result = split(made([0] * 60 + [1] * 60 + [2] * 3, [""] * 123), seed=0)
    assert [int(part.counts()[2]) for part in (result.train, result.val, result.test)] == [1, 1, 1]
    lacking = split(made([0] * 60 + [1] * 60 + [2] * 2, [""] * 122), seed=0)
    assert any("'c' has too few" in note for note in lacking.notes)


def test_several_labels_a_picture_are_dealt_evenly() -> None:
    labels: list[int | tuple[int, ...]] = [(0, 1), (2,), (), (1,)] * 40
    result = split(made(labels, [""] * 160), seed=0)
    assert result.test.counts().tolist() == pytest.approx([8, 16, 8], abs=1)
    assert len(result.test) == pytest.approx(32, abs=2)


def test_near_duplicates_stay_together(tmp_path: Path) -> None:
    for label, first in (("a", 0), ("b", 100)):
        for index in range(12):
            picture = noise(first + index, 120, 160)
            for shift in range(3):
                moved = picture[:, shift : 150 + shift]
                save(tmp_path / label / f"{index}_{shift}.jpg", moved, quality=90 - 10 * shift)
    dataset = load_dataset(tmp_path)
    result = split(dataset, seed=2)
    stems = [
        {p.path.parent.name + p.path.stem.split("_")[0] for p in part.pictures}
        for part in (result.train, result.val, result.test)
    ]
    assert not stems[0] & stems[1]
    assert not stems[0] & stems[2]
    assert not stems[1] & stems[2]
    assert any("24 clusters (largest 3)" in note for note in result.notes)


def test_flat_pictures_are_alike_only_when_equally_bright(tmp_path: Path) -> None:
    for label, level in (("a", 40), ("b", 200)):
        for index in range(3):
            save(tmp_path / label / f"{index}.png", np.full((20 + index, 20, 3), level, dtype=np.uint8))
    pictures = load_dataset(tmp_path).pictures
    assert cluster(pictures).of.tolist() == [0, 0, 0, 1, 1, 1]


def test_colour_alone_tells_apart(tmp_path: Path) -> None:
    shape = noise(5, 30, 30, 1).reshape(30, 30)
    for index, channel in enumerate((0, 1)):
        picture: U8 = np.zeros((30, 30, 3), dtype=np.uint8)
        picture[..., channel] = shape
        save(tmp_path / "ab"[index] / "x.png", picture)
    assert len(near_duplicates(load_dataset(tmp_path).pictures)) == 0


def test_chain_of_look_alikes_is_taken_apart() -> None:
    # each is near the next and far from the last: one cluster by transitivity, useless as one
    base, other = noise(1, 24, 24).astype(float), noise(2, 24, 24).astype(float)
    pictures = []
    for index in range(200):
        mixed = (base + (other - base) * index / 199).astype(np.uint8)
        pictures.append(
            Picture(Path(str(index)), index % 2, "", f"{index:064x}", None, Look(mixed, 1, 1, False, ""))
        )
    dataset = Dataset(Path(), ("a", "b"), "single_label", tuple(pictures))
    loose = cluster(pictures)
    assert any("chains of look-alikes" in note for note in loose.notes)
    assert dataset.counts().tolist() == [100, 100]


def test_given_parts_are_kept_and_the_missing_one_cut_from_train(tmp_path: Path) -> None:
    class_folders(tmp_path / "Train", each=20)
    for label, first in (("bad", 5000), ("good", 6000)):
        for index in range(4):
            save(tmp_path / "test" / label / f"{index}.png", noise(first + index))
    result = split(load_dataset(tmp_path), (0.8, 0.2, 0.0), seed=0)
    assert result.test.counts().tolist() == [4, 4]
    assert result.val.counts().tolist() == [4, 4]
    assert result.train.counts().tolist() == [16, 16]
    (tmp_path / "test").rename(tmp_path / "val")
    result = split(load_dataset(tmp_path), seed=0)
    assert result.test.counts().tolist() == [4, 4]
    assert len(result.val)
    assert any("held out as test" in note for note in result.notes)


def test_duplicates_across_given_parts_are_told(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", each=6)
    class_folders(tmp_path / "test", each=2)
    assert any("4 groups of near duplicates cross" in n for n in split(load_dataset(tmp_path)).notes)


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_fractions_that_make_no_sense(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(DataError, match="fractions"):
        split(made([0, 1, 2] * 4, [""] * 12), fractions)


def test_identical_steel_pictures_stay_together(shared_data: Path) -> None:
    dataset = load_dataset(shared_data / "images" / "neu_steel")
    clusters = cluster(dataset.pictures)
    names = [p.path.name for p in dataset.pictures]
    assert clusters.of[names.index("patches_101.jpg")] == clusters.of[names.index("patches_105.jpg")]
    assert clusters.sizes().max() < 10
    result = split(dataset, seed=0)
    assert result.test.counts().tolist() == [40] * 6


def test_parking_film_is_grouped_without_being_glued(shared_data: Path) -> None:
    dataset = load_dataset(shared_data / "images" / "parking_occupancy")
    sizes = cluster(dataset.pictures).sizes()
    assert 400 < len(sizes) < 1000
    assert sizes.max() < 100
    result = split(dataset, seed=0)
    everything = (*result.train.pictures, *result.val.pictures, *result.test.pictures)
    border = np.repeat([0, 1, 2], [len(result.train), len(result.val), len(result.test)])
    pairs = near_duplicates(everything)
    assert len(pairs) > 2000
    assert (border[pairs.first] == border[pairs.second]).all()
    assert result.test.counts().tolist() == [200, 200]
