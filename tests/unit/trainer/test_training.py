"""The loop: it learns, it repeats itself exactly, it resumes as if nothing had happened, it keeps its budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgenode.errors import DataError
from edgenode.records import U8
from tests.unit.trainer.second_device import AWAY, SecondDevice
from trainer import checkpoint
from trainer.architectures import ARCHITECTURES, build, parameter_count
from trainer.augment import Augment
from trainer.diagnose import diagnose
from trainer.files import write_atomically
from trainer.networks import NetworkSpec
from trainer.options import EpochRecord, Hooks, Trained, TrainingInterrupted, TrainOptions
from trainer.run_state import best_of
from trainer.train import logits_of, train


@dataclass(frozen=True)
class Blobs:
    """Grey noise with a bright square whose quadrant is the class."""

    images: U8
    labels: NDArray[np.int64]


def blobs(count: int, seed: int, classes: int = 3, side: int = 16) -> Blobs:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = rng.integers(0, 90, (count, side, side, 1)).astype(np.uint8)
    half = side // 2
    for image, label in zip(images, labels, strict=True):
        top, left = (label // 2) * half, (label % 2) * half
        image[top + 1 : top + half - 1, left + 1 : left + half - 1] += 120
    return Blobs(images, labels.astype(np.int64))


SPEC = NetworkSpec("edge-s", 3, 16, 16, 1)
OPTIONS = TrainOptions(
    architecture="edge-s",
    epochs=4,
    batch=16,
    precision="float32",
    augment=Augment(orientation="fixed").scaled(0.5),
)


def weights(trained: Trained) -> dict[str, torch.Tensor]:
    return trained.network.state_dict()


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("architecture", ["classic", "edge-s", "edge-m"])
def test_learns_where_the_square_is(architecture: str) -> None:
    options = replace(OPTIONS, architecture=architecture, epochs=12, augment=Augment("fixed").scaled(0.2))
    trained = train(replace(SPEC, architecture=architecture), blobs(96, 1), blobs(30, 2), options)
    fresh = blobs(60, 3)
    right = (logits_of(trained.network, fresh.images).argmax(1).numpy() == fresh.labels).mean()
    assert right >= 0.95
    assert trained.ended in ("complete", "plateau")
    assert trained.history[trained.best_epoch].val_loss == min(r.val_loss for r in trained.history)


def test_the_ladder_has_the_sizes_it_claims() -> None:
    sizes = [parameter_count(build(NetworkSpec(a, 10, 64, 64, 3))) for a in ("edge-s", "edge-m", "edge-l")]
    for size, claimed in zip(sizes, (57_000, 310_000, 1_570_000), strict=True):
        assert abs(size / claimed - 1) < 0.03


def test_classic_is_the_tutorials_network() -> None:
    network = build(NetworkSpec("classic", 10, 28, 28, 1))
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters()}
    assert shapes == {
        "first.weight": (32, 1, 3, 3),
        "first.bias": (32,),
        "second.weight": (64, 32, 3, 3),
        "second.bias": (64,),
        "hidden.weight": (128, 64 * 5 * 5),
        "hidden.bias": (128,),
        "head.weight": (10, 128),
        "head.bias": (10,),
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("height", "width", "channels"), [(32, 32, 3), (28, 45, 1), (224, 224, 3), (97, 64, 1)]
)
def test_every_size_and_colour_runs(architecture: str, height: int, width: int, channels: int) -> None:
    if architecture == "classic" and height == 224:
        pytest.skip("24 million parameters: the same code as the smaller sizes")
    network = build(NetworkSpec(architecture, 4, height, width, channels)).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, channels, height, width)).shape == (2, 4)


def test_same_seed_same_weights_another_seed_others() -> None:
    first = train(SPEC, blobs(48, 1), blobs(15, 2), OPTIONS)
    again = train(SPEC, blobs(48, 1), blobs(15, 2), OPTIONS)
    other = train(SPEC, blobs(48, 1), blobs(15, 2), replace(OPTIONS, seed=1))
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(tmp_path: Path, stop_after: int) -> None:
    whole = train(SPEC, blobs(48, 1), blobs(15, 2), OPTIONS)
    path = tmp_path / "run.checkpoint"
    with pytest.raises(TrainingInterrupted):
        train(SPEC, blobs(48, 1), blobs(15, 2), OPTIONS, Hooks(stop=after(stop_after), checkpoint=path))
    resumed = train(SPEC, blobs(48, 1), blobs(15, 2), OPTIONS, Hooks(checkpoint=path))
    assert same(weights(whole), weights(resumed))
    assert [r.val_loss for r in whole.history] == [r.val_loss for r in resumed.history]
    assert best_of(path).best_epoch == whole.best_epoch


def test_a_budget_of_which_reading_took_another_part_goes_on_too(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    options = replace(OPTIONS, epochs=6, budget_s=6000.0)
    with pytest.raises(TrainingInterrupted):
        train(SPEC, blobs(48, 1), blobs(15, 2), options, Hooks(stop=after(7), checkpoint=path))
    assert best_of(path).ended == "interrupted"
    later = replace(options, budget_s=5999.9)
    resumed = train(SPEC, blobs(48, 1), blobs(15, 2), later, Hooks(checkpoint=path))
    assert (resumed.ended, len(resumed.history)) == ("complete", 6)
    assert best_of(path).ended == "complete"
    with pytest.raises(DataError, match=r"another training.*budget_s"):
        train(SPEC, blobs(48, 1), blobs(15, 2), replace(options, budget_s=None), Hooks(checkpoint=path))


def test_what_has_ended_is_not_trained_on_and_a_larger_budget_goes_on(tmp_path: Path) -> None:
    """An interruption after the training, while exporting: the same command with --resume."""
    path = tmp_path / "run.checkpoint"
    parts = (blobs(48, 1), blobs(15, 2))
    seconds = iter(range(10_000))
    options = replace(OPTIONS, epochs=None, budget_s=20.0)
    first = train(SPEC, *parts, options, Hooks(checkpoint=path, now=lambda: float(next(seconds))))
    assert first.ended == "budget"
    again = train(SPEC, *parts, replace(options, budget_s=20.5), Hooks(checkpoint=path))
    assert (again.ended, again.history) == ("budget", first.history)
    assert same(weights(first), weights(again))
    longer = replace(options, budget_s=60.0)
    on = train(SPEC, *parts, longer, Hooks(checkpoint=path, now=lambda: float(next(seconds))))
    assert len(on.history) > len(first.history)


@pytest.mark.filterwarnings(
    "ignore:.*copying from a non-meta parameter"
)  # true of torch's own meta tensors only
def test_on_another_device_nothing_is_mixed_and_everything_comes_out_the_same(tmp_path: Path) -> None:
    """What a GPU would refuse: a mask, a draw, a weight, a resumed moment left in main memory."""
    everything = Augment(
        "any", mixup=0.3, cutmix=0.3, blur_chance=0.9, noise_chance=0.9, jpeg_chance=0.9, occlusion_chance=0.9
    )
    options = replace(OPTIONS, epochs=2, balance="weights", dropout=0.3, augment=everything)
    here = train(SPEC, blobs(48, 1), blobs(15, 2), options)
    path = tmp_path / "run.checkpoint"
    away = replace(options, device=str(AWAY))  # type: ignore[arg-type]
    with SecondDevice():
        with pytest.raises(TrainingInterrupted):
            train(SPEC, blobs(48, 1), blobs(15, 2), away, Hooks(stop=after(4), checkpoint=path))
        there = train(SPEC, blobs(48, 1), blobs(15, 2), away, Hooks(checkpoint=path))
    assert same(weights(here), weights(there))
    assert [r.val_loss for r in here.history] == [r.val_loss for r in there.history]


def test_the_second_device_refuses_what_a_gpu_refuses() -> None:
    with SecondDevice(), pytest.raises(AssertionError, match="mixes two devices"):
        torch.ones(3).to(AWAY) + torch.ones(3)


def after(steps: int) -> Callable[[], bool]:
    left = steps

    def stop() -> bool:
        nonlocal left
        left -= 1
        return left <= 0

    return stop


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    with pytest.raises(TrainingInterrupted):
        train(SPEC, blobs(48, 1), blobs(15, 2), OPTIONS, Hooks(stop=after(2), checkpoint=path))
    with pytest.raises(DataError, match=r"another training.*seed"):
        train(SPEC, blobs(48, 1), blobs(15, 2), replace(OPTIONS, seed=5), Hooks(checkpoint=path))


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    checkpoint.save(path, {"value": 1})

    def fail(_file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomically(path, fail)
    assert checkpoint.load(path)["value"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["run.checkpoint"]


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.checkpoint"
    path.write_bytes(b"hello")
    with pytest.raises(DataError, match=r"x\.checkpoint is not a checkpoint"):
        checkpoint.load(path)


def test_a_budget_ends_the_training_with_the_schedule_complete() -> None:
    ticks = iter(range(100_000))
    hooks = Hooks(now=lambda: next(ticks) * 0.1)
    trained = train(SPEC, blobs(48, 1), blobs(15, 2), replace(OPTIONS, epochs=500, budget_s=6.0), hooks)
    assert trained.ended == "budget"
    assert len(trained.history) < 40
    assert trained.history[-1].learning_rate < 0.05 * max(r.learning_rate for r in trained.history)


def test_rare_classes_are_shown_more_often() -> None:
    part = blobs(60, 1)
    rare = np.concatenate([np.flatnonzero(part.labels != 2), np.flatnonzero(part.labels == 2)[:2]])
    few = Blobs(part.images[rare], part.labels[rare])
    options = replace(OPTIONS, epochs=30, balance_strength=1.0)
    for balance in ("sampling", "weights"):
        trained = train(SPEC, few, blobs(30, 2), replace(options, balance=balance))  # type: ignore[arg-type]
        answers = logits_of(trained.network, blobs(30, 3).images).argmax(1).numpy()
        assert (answers == 2).any(), balance


def test_several_labels_a_picture() -> None:
    part = blobs(64, 1)
    several = np.zeros((64, 3), dtype=np.float32)
    several[np.arange(64), part.labels] = 1.0
    several[:, 1] = 1.0

    @dataclass(frozen=True)
    class Several:
        images: U8
        labels: NDArray[np.float32]

    trained = train(
        SPEC, Several(part.images, several), Several(part.images, several), replace(OPTIONS, epochs=24)
    )
    answers = logits_of(trained.network, part.images) > 0
    assert (answers.numpy() == (several > 0)).mean() > 0.95


def test_no_pictures_is_said() -> None:
    with pytest.raises(DataError, match="no pictures"):
        train(SPEC, blobs(16, 1), Blobs(blobs(3, 1).images[:0], np.zeros(0, np.int64)), OPTIONS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said() -> None:
    with pytest.raises(DataError, match="finds no GPU"):
        train(SPEC, blobs(16, 1), blobs(3, 2), replace(OPTIONS, device="cuda"))


def history(train_accuracy: list[float], val_accuracy: list[float], val_loss: list[float]) -> Trained:
    records = tuple(
        EpochRecord(i, 0.5, 0.1, t, loss, v, 1e-3, float(i))
        for i, (t, v, loss) in enumerate(zip(train_accuracy, val_accuracy, val_loss, strict=True))
    )
    best = int(np.argmin(val_loss))
    return Trained(build(SPEC), records, best, len(records), 1.0, "complete", OPTIONS)


def test_a_model_that_was_still_learning_is_not_told_that_it_no_longer_learns() -> None:
    few = history([0.4] * 10, [0.2] * 10, [3.0 - 0.02 * i for i in range(10)])
    losses = [3.0 - 0.1 * i for i in range(10)]
    few = replace(
        few, history=tuple(replace(r, train_loss=t) for r, t in zip(few.history, losses, strict=True))
    )
    told = str(diagnose(few, 200)[0])
    assert "still learning" in told
    assert "more time" in told
    assert "by heart" not in told
    level = replace(few, history=tuple(replace(r, val_accuracy=0.4) for r in few.history))
    assert diagnose(level, 200)[0].kind == "underfitting"
    assert "still learning" in str(diagnose(level, 200)[0])


def test_the_curves_are_put_into_words() -> None:
    many = 20
    over = history([1.0] * many, [0.8] * many, [0.5] * 10 + [0.9] * 10)
    under = history([0.7] * many, [0.7] * many, [0.8] * many)
    unfinished = history([0.9] * many, [0.9] * many, [1.0 / (1 + i) for i in range(many)])
    good = history([0.99] * many, [0.99] * many, [0.05] * many)
    assert diagnose(over, 200)[0].kind == "overfitting"
    assert "rose from 0.500 to 0.900" in str(diagnose(over, 200)[0])
    assert diagnose(under, 200)[0].kind == "underfitting"
    assert [f.kind for f in diagnose(unfinished, 200)] == ["unfinished"]
    assert diagnose(good, 200)[0].kind == "healthy"
    assert diagnose(good, 20)[0].kind == "small_validation"


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")

    def full(_file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as raised:
        write_atomically(path, full)
    assert raised.value.filename == str(path)
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"old"]
