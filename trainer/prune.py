"""Structured pruning: whole channels are taken out, so that every runtime gets faster without knowing.

Channels inside a layer pair are ranked by what they can send on: the L1 norm of the weights that make a channel, times
its batch norm scale where there is one (Li et al., 2017; Liu et al., 2017), relative to its layer's mean, times
the L1 norm of the weights that read it. What the blocks of a residual network add up keeps its width.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from edgenode.errors import DataError
from trainer.architectures import build
from trainer.networks import Network, Prunable

STEP = 8
"""Channels are kept in multiples of this: the width of the vector units, below which nothing gets faster."""


def prune(network: Network, fraction: float) -> Network:
    """A smaller network with about `fraction` of the inner channels gone; to be trained on. Raises DataError."""
    if not 0.0 < fraction < 1.0:
        raise DataError(f"the fraction to prune is {fraction}, not between 0 and 1")
    pairs = network.prunable()
    scores = [_scores(pair) for pair in pairs]
    border = torch.quantile(torch.cat(scores), fraction)
    keeps = [_kept(score, int((score > border).sum())) for score in scores]
    inner = tuple(len(keep) for keep in keeps)
    smaller = build(replace(network.spec, inner=inner))
    state = copy.deepcopy(network.state_dict())
    names = {id(module): name for name, module in network.named_modules()}
    for pair, keep in zip(pairs, keeps, strict=True):
        _take(state, names[id(pair.producer)], keep, axis=0)
        if pair.norm is not None:
            _take(state, names[id(pair.norm)], keep, axis=0)
        spread = torch.arange(pair.spread)
        columns = (keep[:, None] * pair.spread + spread[None, :]).flatten()
        weight = f"{names[id(pair.consumer)]}.weight"
        state[weight] = state[weight].index_select(1, columns)
    smaller.load_state_dict(state)
    return smaller.eval()


def _scores(pair: Prunable) -> Tensor:
    with torch.no_grad():
        made = pair.producer.weight.flatten(1).abs().sum(1)
        if pair.norm is not None:
            variance = pair.norm.running_var
            assert variance is not None
            made = made * pair.norm.weight.abs() / torch.sqrt(variance + pair.norm.eps)
        weight = pair.consumer.weight
        read = weight.transpose(0, 1).reshape(len(made), -1) if pair.spread == 1 else None
        if read is None:
            read = weight.reshape(len(weight), len(made), pair.spread).transpose(0, 1).reshape(len(made), -1)
        score = made * read.abs().sum(1)
        return (score / score.mean().clamp_min(1e-12)).cpu()


def _kept(score: Tensor, count: int) -> Tensor:
    """Indices of the best channels, ascending: `count` of them, up to the next multiple of the vector width."""
    count = min(len(score), max(STEP, -(-count // STEP) * STEP))
    return torch.sort(torch.topk(score, count).indices).values


def _take(state: dict[str, Tensor], module: str, keep: Tensor, axis: int) -> None:
    for field in ("weight", "bias", "running_mean", "running_var"):
        name = f"{module}.{field}"
        if name in state:
            state[name] = state[name].index_select(axis, keep)
