"""What turns gradients into weights: losses, parameter groups, the one-cycle schedule, the moving average."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

WARM_UP = 0.2
"""Part of the training in which the learning rate climbs."""


def loss(
    logits: Tensor, targets: Tensor, class_weights: Tensor | None, smoothing: float, multi_label: bool
) -> Tensor:
    """Mean loss of a batch. `logits` and `targets` are float [N, K]; targets are probabilities.

    Divides by the number of samples, never by the sum of their weights: the mean over equal slices of a batch
    is then the mean over the batch, which training on several processes needs.
    """
    logits = logits.float()
    if multi_label:
        targets = targets * (1.0 - smoothing) + smoothing / 2
        each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if class_weights is not None:
            each = each * class_weights
        return each.sum(1).mean()
    weights = targets @ class_weights if class_weights is not None else None
    targets = targets * (1.0 - smoothing) + smoothing / targets.shape[1]
    each = -(targets * functional.log_softmax(logits, 1)).sum(1)
    return (each * weights).mean() if weights is not None else each.mean()


def distillation(logits: Tensor, teacher: Tensor, softness: float, multi_label: bool) -> Tensor:
    """How far the student's softened answer is from the teacher's (Hinton et al., 2015: KL times softness²)."""
    logits, teacher = logits.float() / softness, teacher.float() / softness
    if multi_label:
        each = functional.binary_cross_entropy_with_logits(logits, teacher.sigmoid(), reduction="none")
        return each.sum(1).mean() * softness**2
    divergence = functional.kl_div(
        functional.log_softmax(logits, 1),
        functional.log_softmax(teacher, 1),
        reduction="batchmean",
        log_target=True,
    )
    return divergence * softness**2


def class_weights(counts: Tensor, strength: float) -> Tensor:
    """Weight of each class, (mean count / its count) ** strength, scaled so that the average sample has 1.

    Strength 0 leaves rare classes rare, 1 makes all classes count alike; 0.5 is between and steadier.
    """
    filled = counts.clamp_min(1).double()
    raw = (filled.mean() / filled) ** strength
    return (raw * counts.sum() / (raw * counts).sum().clamp_min(1e-9)).float()


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weights of convolutions and dense layers decay; norms and biases do not."""
    decaying = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    free = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def one_cycle(progress: float) -> float:
    """Fraction of the top learning rate at `progress` in 0 to 1: a cosine up, a cosine down to zero.

    Smith and Topin, 2017 (super-convergence). A function of progress and not of a step number, so that a time
    budget can drive it.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < WARM_UP:
        return 0.04 + 0.96 * (0.5 - 0.5 * math.cos(math.pi * progress / WARM_UP))
    return 0.002 + 0.998 * (0.5 + 0.5 * math.cos(math.pi * (progress - WARM_UP) / (1.0 - WARM_UP)))


class MovingAverage:
    """Exponential moving average of all weights and batch norm statistics; what is validated and kept.

    The horizon grows with the steps done up to `horizon` steps, so that an early average is not its start.
    """

    def __init__(self, network: nn.Module, horizon: int) -> None:
        self._horizon = max(1, horizon)
        self.state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        decay = min(1.0 - 1.0 / self._horizon, (1.0 + step) / (10.0 + step))
        mine, theirs = [], []
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                mine.append(self.state[name])
                theirs.append(tensor.detach())
            else:
                self.state[name].copy_(tensor)
        torch._foreach_lerp_(mine, theirs, 1.0 - decay)
