"""Temperature scaling: one number that makes the model's confidence mean what it says.

Guo et al., 2017: dividing the logits by T, chosen on pictures the weights never saw, leaves every answer as it
is and moves the probabilities to where they are right as often as they claim.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

LOWEST, HIGHEST = 0.05, 20.0
USUAL = 0.4
"""How far below its expected value log T may well lie before any picture is seen."""


def temperature(logits: Tensor, labels: NDArray[Any], smoothing: float = 0.0) -> float:
    """The T in 0.05 to 20 by which float `logits` [N, K] are divided, from `labels`: int64 [N], or float [N, K] of
    zeros and ones (then each label's sigmoid is scaled).

    Halfway (geometrically) between the T of the greatest likelihood, which a few hard pictures decide, and the one
    that makes the mean confidence what the share of right answers is, which the many easy ones decide; the decision
    record 100 has the comparison.
    """
    if len(logits) == 0:
        return 1.0
    logits = logits.double()
    return math.sqrt(_likeliest(logits, labels, smoothing) * _as_sure_as_right(logits, labels))


def _likeliest(logits: Tensor, labels: NDArray[Any], smoothing: float) -> float:
    """The T with the least negative log-likelihood of `labels` given `logits` / T.

    In 1/T the likelihood is convex, so there is one minimum. On a validation part without a single mistake it has
    none (T runs to its lower end, probabilities to 1); one imagined mistake in proportion 1 / (N + 2) keeps it
    honest. Few pictures, on which the best epoch was chosen too, may make answers humbler but not much surer: below
    what is expected of a network trained with label `smoothing`, log T has a normal prior of spread USUAL, which
    many pictures outweigh.
    """
    doubt = 1.0 / (len(logits) + 2)
    wanted = _targets(labels, logits.shape[1], doubt)
    multi_label = labels.ndim == 2
    decisions = len(logits) * (logits.shape[1] if multi_label else 1)
    expected = math.log(expected_temperature(smoothing, doubt, 2 if multi_label else logits.shape[1]))

    def cost(log_t: float) -> float:
        scaled = logits / math.exp(log_t)
        unusual = (min(log_t - expected, 0.0) / USUAL) ** 2 / 2 / decisions
        if multi_label:
            return unusual + float(functional.binary_cross_entropy_with_logits(scaled, wanted))
        return unusual + float(-(wanted * functional.log_softmax(scaled, 1)).sum(1).mean())

    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    low, high = math.log(LOWEST), math.log(HIGHEST)
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = cost(left), cost(right)
    while high - low > 1e-4:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = cost(right)
    return math.exp((low + high) / 2)


def _as_sure_as_right(logits: Tensor, labels: NDArray[Any]) -> float:
    """The T at which the mean confidence is the share of right answers, with half a right and half a wrong one more
    (Jeffreys' estimate: never certain). The confidence falls as T grows: found by halving."""
    multi_label = labels.ndim == 2
    if multi_label:
        right = float(((logits > 0).numpy() == (labels > 0.5)).sum())
        answers = logits.numel()
    else:
        right = float((logits.argmax(1).numpy() == labels).sum())
        answers = len(logits)
    wanted = (right + 0.5) / (answers + 1)
    low, high = math.log(LOWEST), math.log(HIGHEST)
    while high - low > 1e-4:
        middle = (low + high) / 2
        scaled = logits / math.exp(middle)
        confidence = scaled.abs().sigmoid() if multi_label else scaled.softmax(1).amax(1)
        low, high = (middle, high) if float(confidence.mean()) > wanted else (low, middle)
    return math.exp((low + high) / 2)


def expected_temperature(smoothing: float, doubt: float, classes: int) -> float:
    """The T that makes an answer as sure as `doubt` lets it be, where label `smoothing` kept the logits small.

    Where it is sure, a network trained on labels smoothed by e answers 1 - e + e / K: the logits are
    ln(1 + K (1 - e) / e) apart. At most 1: no smoothing is a reason to be humbler.
    """

    def apart(share: float) -> float:
        return math.log1p(classes * (1.0 - share) / share)

    return min(1.0, apart(smoothing) / apart(doubt)) if smoothing > 0 else 1.0


def probabilities(logits: Tensor, temperature: float, multi_label: bool) -> NDArray[np.float32]:
    """float32 [N, K]: what the exported graph answers."""
    scaled = logits / temperature
    answer = scaled.sigmoid() if multi_label else scaled.softmax(1)
    return np.asarray(answer.float().numpy(), dtype=np.float32)


def _targets(labels: NDArray[Any], classes: int, doubt: float) -> Tensor:
    if labels.ndim == 2:
        wanted = torch.from_numpy(labels.astype(np.float64))
        return wanted * (1.0 - doubt) + doubt / 2
    wanted = functional.one_hot(torch.from_numpy(labels.astype(np.int64)), classes).double()
    return wanted * (1.0 - doubt) + doubt / classes
