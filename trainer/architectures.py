"""The architectures by name, their sizes, and what each is good for.

| name | parameters (K = 10) | choose it |
|---|---|---|
| `classic` | 0.3 M at 32×32, 1.6 M at 64×64 | to repeat the tutorial; fixed cameras, few classes, easy pictures |
| `edge-s` | 57 k | clear differences (present/absent, red/green), many regions on a small board |
| `edge-m` | 309 k | the default: defects, textures, a few hundred pictures a class |
| `edge-l` | 1.56 M | many classes or subtle ones, thousands of pictures; teacher for the smaller two |

A step up costs about 2.5 times the time a picture. Where validation accuracy does not differ by more than its
interval, the smaller one is the better model: it is faster, and quantising and pruning find less to lose.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgenode.errors import DataError
from trainer.networks import Classic, Edge, Network, NetworkSpec


@dataclass(frozen=True, slots=True)
class Recipe:
    """Training defaults that belong to an architecture."""

    learning_rate: float
    weight_decay: float
    dropout: float
    own_normalisation: bool
    """Whether the pixels' mean and spread come from the training data (else: divided by 255)."""


LADDER: dict[str, tuple[int, ...]] = {
    "edge-s": (16, 32, 48),
    "edge-m": (32, 64, 128),
    "edge-l": (48, 96, 160, 256),
}
"""Channels of the residual blocks; each block after the first halves the map."""

RECIPES: dict[str, Recipe] = {
    "classic": Recipe(learning_rate=1e-3, weight_decay=0.0, dropout=0.0, own_normalisation=False),
    "edge-s": Recipe(learning_rate=6e-3, weight_decay=0.01, dropout=0.0, own_normalisation=True),
    "edge-m": Recipe(learning_rate=6e-3, weight_decay=0.02, dropout=0.1, own_normalisation=True),
    "edge-l": Recipe(learning_rate=4e-3, weight_decay=0.05, dropout=0.2, own_normalisation=True),
}
ARCHITECTURES = tuple(RECIPES)


def recipe(architecture: str) -> Recipe:
    """Raises DataError naming the known architectures."""
    if architecture not in RECIPES:
        raise DataError(
            f"architecture {architecture!r} is not known; choose one of {', '.join(ARCHITECTURES)}"
        )
    return RECIPES[architecture]


def build(spec: NetworkSpec) -> Network:
    """A new network with weights drawn from torch's current random state. Raises DataError."""
    recipe(spec.architecture)
    if spec.architecture == "classic":
        try:
            return Classic(spec)
        except ValueError as error:
            raise DataError(str(error)) from error
    if min(spec.height, spec.width) < 8:
        raise DataError(f"{spec.architecture} needs pictures of 8×8 or more, not {spec.height}×{spec.width}")
    return Edge(spec, LADDER[spec.architecture])


def parameter_count(network: Network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
