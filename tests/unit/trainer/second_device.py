"""A second device that is none: to see that a training puts every tensor where its network is.

Torch's own test devices need a compiler or the hardware. Here a tensor that was moved to the device `AWAY` says that it
lives there and holds its values in main memory; every operation that mixes it with a tensor of main memory is refused,
as a GPU would refuse it (single numbers and indices may come from there).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

AWAY = torch.device("meta")
_MAY_MIX = ("index", "index_put", "index_put_", "_index_put_impl_", "copy_")


class Away(torch.Tensor):
    """A tensor on the device; usable while a `SecondDevice` is entered."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> Away:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined,no-any-return]
            cls, here.shape, dtype=here.dtype, device=AWAY, strides=here.stride()
        )

    def __init__(self, here: torch.Tensor) -> None:
        self.here = here

    @classmethod
    def __torch_dispatch__(cls, func: Any, _types: Any, _args: Any = (), _kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside the second device")


class SecondDevice(TorchDispatchMode):
    """Context in which tensors may be moved to `AWAY` and worked on there."""

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        away = any(isinstance(tensor, Away) for tensor in tensors)
        name = func.overloadpacket.__name__
        wanted = kwargs.get("device")
        named = wanted is not None and torch.device(wanted) == AWAY
        if away and name != "_to_copy" and name not in _MAY_MIX:
            for tensor in tensors:
                assert isinstance(tensor, Away) or tensor.dim() == 0, f"{name} mixes two devices"
        stays = (named if wanted is not None else away) if name == "_to_copy" else away or named
        if wanted is not None:
            kwargs["device"] = torch.device("cpu")
        result = func(*tree_map(_here, args), **tree_map(_here, kwargs))
        if name.endswith("_") and not name.startswith("__") and isinstance(args[0], Away):
            return args[0]
        return tree_map(_away, result) if stays else result


def _here(value: Any) -> Any:
    return value.here if isinstance(value, Away) else value


def _away(value: Any) -> Any:
    return Away(value) if isinstance(value, torch.Tensor) else value
