"""Checkpoints: everything a training needs to go on as if nothing had happened, in one file.

A checkpoint is written beside the old one, synced and renamed over it: a full disk, a kill or a power cut
leaves either the old file or the new one. It holds tensors and plain values alone and is read with torch's
`weights_only`, so that a checkpoint from elsewhere cannot run code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from edgenode.errors import DataError
from trainer.files import write_atomically

FORMAT = 2


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes `content` (tensors, of any device, and plain values) with the format's number. Raises OSError."""
    plain = _on_processor({"format": FORMAT, **content})
    write_atomically(path, lambda file: torch.save(plain, file))


def load(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, its tensors on the CPU. Raises DataError where it is not one."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such checkpoint") from error
    except Exception as error:  # torch raises whatever its unpickler meets in a file that is none of its own
        raise DataError(
            f"{path} is not a checkpoint of this trainer: {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path} is not a checkpoint of this trainer (format {FORMAT})")
    return content


def _on_processor(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {key: _on_processor(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_on_processor(inner) for inner in value)
    return value
