"""Teachers: models whose answers a smaller one learns from, beside the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from edgenode.errors import DataError
from edgenode.inference.classifier import Classifier, ClassifierOptions
from trainer.networks import Network


class NetworkTeacher:
    """A network in memory."""

    def __init__(self, network: Network) -> None:
        self._network = network.eval()

    @torch.no_grad()
    def logits(self, pixels: Tensor) -> Tensor:
        answer: Tensor = self._network(pixels).float()
        return answer


class FileTeacher:
    """Any model file the node accepts, of the same labels; run by the node's own classifier.

    Pictures of another size or colour than the file wants are fitted to it. `close` when done.
    """

    def __init__(self, path: Path, labels: tuple[str, ...]) -> None:
        """Raises ModelError where the file is refused, DataError where its labels differ."""
        self._classifier = Classifier.load(path, ClassifierOptions())
        card = self._classifier.card
        if tuple(card.labels) != labels:
            self._classifier.close()
            raise DataError(
                f"teacher {path} knows {', '.join(card.labels)}; the data has {', '.join(labels)}"
            )
        self._input = card.input
        self._multi_label = card.task == "multi_label"

    def logits(self, pixels: Tensor) -> Tensor:
        wanted = (self._input.height, self._input.width)
        if tuple(pixels.shape[2:]) != wanted:
            pixels = functional.interpolate(pixels, wanted, mode="bilinear", antialias=True)
        if self._input.color == "grey" and pixels.shape[1] == 3:
            weights = torch.tensor([0.299, 0.587, 0.114]).to(pixels)  # ITU-R BT.601
            pixels = (pixels * weights[None, :, None, None]).sum(1, keepdim=True)
        elif self._input.color == "rgb" and pixels.shape[1] == 1:
            pixels = pixels.expand(-1, 3, -1, -1)
        images = pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        seen = np.asarray(self._classifier.classify(images).probabilities, dtype=np.float32)
        answer = torch.from_numpy(seen).clamp(1e-6, 1 - 1e-6).to(pixels.device)
        return torch.logit(answer) if self._multi_label else answer.log()

    def close(self) -> None:
        self._classifier.close()
