"""The training loop, to be read from top to bottom.

On 2 cores of an AMD Zen 5 `edge-m` trains on 1,600 pictures a second at 64×64 (bfloat16, channels last; float32 in
torch's own layout: 660).

Every random number of a step comes from (seed, step): stopping anywhere and resuming gives the same weights as
never having stopped, and several processes give what one gives (see `distributed`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from edgenode.errors import DataError
from edgenode.records import U8
from trainer.architectures import build, recipe
from trainer.augment import Augmenter
from trainer.distributed import World, agree
from trainer.networks import Network, NetworkSpec
from trainer.optimisation import (
    MovingAverage,
    class_weights,
    distillation,
    loss,
    one_cycle,
    parameter_groups,
)
from trainer.options import EpochRecord, Examples, Hooks, Trained, TrainingInterrupted, TrainOptions
from trainer.run_state import Run, resume, save

logger = logging.getLogger(__name__)


def train(
    spec: NetworkSpec,
    train_part: Examples,
    val_part: Examples,
    options: TrainOptions,
    hooks: Hooks | None = None,
) -> Trained:
    """Trains `spec` on `train_part`, keeping what does best on `val_part`.

    Resumes from `hooks.checkpoint` where that file exists. Raises DataError on data that cannot be trained on
    or a checkpoint of something else, TrainingInterrupted when `hooks.stop` says so.
    """
    hooks = hooks or Hooks()
    world, device = hooks.world, _device(options.device)
    advice = recipe(options.architecture)
    if options.normalise == "picture" and not advice.own_normalisation:
        raise DataError(
            f"{options.architecture} has a scaling of its own; choose another --arch or --normalise data"
        )
    targets, multi_label = _targets(train_part.labels, spec.classes)
    if len(targets) == 0 or len(val_part.images) == 0:
        raise DataError("the training or validation part has no pictures; give more data")
    images = torch.from_numpy(np.ascontiguousarray(train_part.images))
    batch = _batch_size(options.batch, len(images), world)
    steps_an_epoch = -(-len(images) // batch)
    epochs = options.epochs or _default_epochs(steps_an_epoch, options.budget_s)
    steps = epochs * steps_an_epoch

    torch.manual_seed(options.seed)
    dropout = advice.dropout if options.dropout is None else options.dropout
    network = build(replace(spec, dropout=dropout, each_picture=options.normalise == "picture"))
    if advice.own_normalisation:
        network.normalise_by(*pixel_statistics(train_part.images))
    if hooks.start is not None:
        network.load_state_dict(hooks.start)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    top_rate = options.learning_rate or advice.learning_rate
    decay = advice.weight_decay if options.weight_decay is None else options.weight_decay
    optimiser = torch.optim.AdamW(parameter_groups(network, decay), lr=top_rate)
    average = MovingAverage(network, horizon=min(200, steps // 20))
    model: nn.Module = network
    if world.size > 1:
        model = DistributedDataParallel(network, broadcast_buffers=False)
    augmenter = Augmenter(images.to(device), targets.to(device), options.augment, options.seed)
    weights = _loss_weights(options, targets, multi_label)
    weights = weights.to(device) if weights is not None else None
    peek = _sample_of(train_part, min(len(images), max(256, len(val_part.images))), options.seed)
    run = Run()
    if hooks.checkpoint is not None and hooks.checkpoint.exists():
        run = resume(hooks.checkpoint, spec, options, network, optimiser, average)
    started = hooks.now() - run.elapsed_s
    saved = hooks.now()
    precise = _autocast(options.precision, device)

    while (
        run.step < steps and run.ended == "interrupted"
    ):  # what a checkpoint says has ended is not trained on
        epoch, within = divmod(run.step, steps_an_epoch)
        order = _order(options, targets, multi_label, steps_an_epoch * batch, epoch)
        elapsed = agree(hooks.now() - started, world)
        progress = run.step / steps
        if options.budget_s:
            progress = max(progress, elapsed / options.budget_s)
        rate = top_rate * one_cycle(progress)
        for group in optimiser.param_groups:
            group["lr"] = rate
        step_seed = _mix(options.seed, run.step)
        torch.manual_seed(step_seed)  # dropout
        model.train()
        chosen = order[within * batch : (within + 1) * batch]
        pixels, wanted = augmenter.batch(chosen, step_seed, world.slice_of(batch))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        with precise():
            logits = model(pixels)
        cost = loss(logits, wanted, weights, options.label_smoothing, multi_label)
        if hooks.teacher is not None:
            taught = distillation(logits, hooks.teacher.logits(pixels), options.softness, multi_label)
            cost = torch.lerp(cost, taught, options.teacher_share)
        optimiser.zero_grad(set_to_none=True)
        cost.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        average.update(network, run.step)
        run.losses.append(float(cost.detach()))
        run.step += 1

        out_of_time = bool(options.budget_s) and progress >= 1.0
        record = None
        if run.step % steps_an_epoch == 0 or out_of_time:
            record = _validate(
                network, average, run, epoch, rate, peek, val_part, multi_label, hooks.now() - started
            )
            run.losses = []
            run.keep(record, average)
        hooks.progress(max(progress, run.step / steps), record, epochs)
        stop = agree(float(hooks.stop()), world) > 0
        expected = min(epochs, max(1.0, (epoch + 1) / max(progress, 1e-9)))  # as many as the budget lets pass
        finished = run.step >= steps or out_of_time or _plateau(run, options, expected)
        if finished:
            run.ended = "budget" if out_of_time else "complete" if run.step >= steps else "plateau"
        if hooks.checkpoint is not None and world.leads:
            due = record is not None and hooks.now() - saved >= hooks.checkpoint_every_s
            if due or stop or finished:
                run.elapsed_s = hooks.now() - started
                saved = hooks.now()
                try:
                    save(hooks.checkpoint, spec, options, network, optimiser, average, run, hooks.note)
                except OSError as error:  # a full disk ends no training; the last checkpoint is still whole
                    if stop or finished:
                        raise
                    logger.warning("no checkpoint: %s", error)
        if stop and not finished:
            raise TrainingInterrupted(hooks.checkpoint)
        if finished:
            break

    final = build(network.spec)
    final.load_state_dict({name: tensor.cpu() for name, tensor in run.best.items()})
    final.eval()
    seconds = hooks.now() - started
    return Trained(final, tuple(run.history), run.best_epoch, epochs, seconds, run.ended, options)


@torch.no_grad()
def logits_of(network: Network, images: U8, batch: int = 256) -> Tensor:
    """The network's answers, float32 [N, K], for uint8 pictures [N, H, W, C], in evaluation mode and float32."""
    network.eval()
    device = next(network.parameters()).device
    answers = []
    for start in range(0, len(images), batch):
        pixels = torch.from_numpy(images[start : start + batch]).to(device).permute(0, 3, 1, 2).float()
        answers.append(network(pixels.contiguous(memory_format=torch.channels_last)).float().cpu())
    return torch.cat(answers) if answers else torch.zeros(0, network.spec.classes)


def pixel_statistics(images: U8) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, in pixel units, over at most 2,000 pictures."""
    some = images[:: max(1, len(images) // 2000)].astype(np.float64)
    return some.mean(axis=(0, 1, 2)).tolist(), some.std(axis=(0, 1, 2)).tolist()


def _validate(
    network: Network,
    average: MovingAverage,
    run: Run,
    epoch: int,
    rate: float,
    peek: tuple[U8, NDArray[Any]],
    val_part: Examples,
    multi_label: bool,
    elapsed_s: float,
) -> EpochRecord:
    """Measures the averaged weights, leaving the network as it was."""
    present = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(average.state)
    train_loss, train_accuracy = _score(network, peek[0], peek[1], multi_label)
    val_loss, val_accuracy = _score(network, val_part.images, val_part.labels, multi_label)
    network.load_state_dict(present)
    batch_loss = sum(run.losses) / max(1, len(run.losses))
    return EpochRecord(epoch, batch_loss, train_loss, train_accuracy, val_loss, val_accuracy, rate, elapsed_s)


def _score(network: Network, images: U8, labels: NDArray[Any], multi_label: bool) -> tuple[float, float]:
    logits = logits_of(network, images)
    targets, _ = _targets(labels, network.spec.classes)
    cost = float(loss(logits, targets, None, 0.0, multi_label))
    if multi_label:
        return cost, float(((logits > 0) == (targets > 0.5)).float().mean())
    return cost, float((logits.argmax(1) == targets.argmax(1)).float().mean())


def _targets(labels: NDArray[Any], classes: int) -> tuple[Tensor, bool]:
    """Targets float [N, K], and whether a picture may have several labels."""
    if labels.ndim == 2:
        return torch.from_numpy(labels.astype(np.float32)), True
    return torch.nn.functional.one_hot(torch.from_numpy(labels.astype(np.int64)), classes).float(), False


def _batch_size(wanted: int, pictures: int, world: World) -> int:
    world.slice_of(wanted)
    if pictures >= wanted:
        return wanted
    return max(world.size * 2, pictures // world.size * world.size)


def _order(options: TrainOptions, targets: Tensor, multi_label: bool, length: int, epoch: int) -> Tensor:
    """Which pictures an epoch shows, int64 [length]: all once and some again to fill its last batch."""
    generator = torch.Generator().manual_seed(_mix(options.seed, -1 - epoch))
    counts = targets.sum(0)
    even = bool(
        counts.max() <= 1.5 * counts.min()
    )  # drawing with replacement leaves pictures out: not for nothing
    if options.balance == "sampling" and not multi_label and not even and options.balance_strength > 0:
        chance = targets @ class_weights(counts, options.balance_strength)
        return torch.multinomial(chance, length, replacement=True, generator=generator)
    rounds = -(-length // len(targets))
    return torch.cat([torch.randperm(len(targets), generator=generator) for _ in range(rounds)])[:length]


def _loss_weights(options: TrainOptions, targets: Tensor, multi_label: bool) -> Tensor | None:
    if options.balance == "weights" and not multi_label:
        return class_weights(targets.sum(0), options.balance_strength)
    return None


def _sample_of(part: Examples, count: int, seed: int) -> tuple[U8, NDArray[Any]]:
    chosen = np.sort(np.random.default_rng(seed).permutation(len(part.images))[:count])
    return part.images[chosen], part.labels[chosen]


def _mix(seed: int, step: int) -> int:
    """One 63-bit seed from two numbers (SplitMix64's finaliser), so that neighbours have nothing in common."""
    mask = (1 << 64) - 1
    value = (seed * 0x9E3779B97F4A7C15 + (step + 1) * 0xD1B54A32D192ED03) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return (value ^ (value >> 31)) >> 1


def _default_epochs(steps_an_epoch: int, budget_s: float | None) -> int:
    """About 4,000 batches; with a budget as many as 40,000, for time is what ends it then."""
    return (
        min(1000, round(40_000 / steps_an_epoch) + 15)
        if budget_s
        else min(200, max(15, 4000 // steps_an_epoch))
    )


def _plateau(run: Run, options: TrainOptions, epochs: float) -> bool:
    return bool(run.history) and run.history[-1].epoch - run.best_epoch > max(5.0, options.patience * epochs)


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DataError(
            "--device cuda: torch finds no GPU here; leave the option out or install torch for it"
        )
    return torch.device(wanted)


def _autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    if precision == "auto":
        able = (
            torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
        )
        precision = "bfloat16" if able else "float32"
    if precision == "float32":
        return nullcontext
    return lambda: torch.autocast(device.type, torch.bfloat16)
