"""The trainer's own measurements: folds that leave the test part alone, an official test part in its place."""

from __future__ import annotations

from pathlib import Path

from tests.bench.trainer_folds import folds, options_of
from tests.bench.trainer_numbers import TASKS, arranged
from tests.pictures_made import class_folders
from trainer.dataset import load_dataset, split


def test_folds_cover_everything_but_the_test_part_once(tmp_path: Path) -> None:
    data = load_dataset(class_folders(tmp_path / "pictures", each=20))
    untouched = {picture.path for picture in split(data, seed=4).test.pictures}
    parts = folds(data, split_seed=4, count=4)
    seen = [picture.path for part in parts for picture in part.pictures]
    assert len(seen) == len(set(seen)) == len(data) - len(untouched)
    assert not untouched & set(seen)
    assert max(map(len, parts)) - min(map(len, parts)) <= 2
    assert all(min(part.counts()) > 0 for part in parts)


def test_a_try_is_what_fit_would_read() -> None:
    options = options_of("--size 160 --normalise picture --augment 0.5 --orientation both --budget 2m")
    assert (options.input.size, options.train.normalise, options.train.budget_s) == (160, "picture", 120.0)
    assert options.train.augment.orientation == "both"
    assert options.train.augment.zoom < options_of("").train.augment.zoom


def test_an_official_test_part_takes_its_place_beside_train_and_val(tmp_path: Path) -> None:
    for part in ("train", "val"):
        class_folders(tmp_path / "data" / part, each=4)
    official = class_folders(tmp_path / "elsewhere", each=6)
    task = TASKS["pneumonia_mnist"]
    parts = split(load_dataset(arranged(tmp_path / "data", task, official, tmp_path / "links")))
    assert (len(parts.train), len(parts.val), len(parts.test)) == (8, 8, 12)
    parts = split(load_dataset(arranged(tmp_path / "data", task, None, tmp_path / "own")))
    assert len(parts.test) == 8
    assert len(parts.train) + len(parts.val) == 8
