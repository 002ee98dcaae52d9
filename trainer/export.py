"""From a trained network to a model file the node accepts: one self-contained `.onnx` with its card inside.

The graph takes uint8 `images` [N, H, W, C] and gives `probabilities` [N, K] and `embedding` [N, D]; the layout,
the normalisation, the temperature and the softmax are its nodes, and batch norm is folded into the convolutions.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgenode.errors import DataError, ModelError
from edgenode.inference.card import (
    COMPARED_VERSION,
    EMBEDDING_NAME,
    INPUT_NAME,
    METADATA_KEY,
    OUTPUT_NAME,
    DriftReference,
    Evaluation,
    InputSpec,
    ModelCard,
    Quantisation,
    Threshold,
    Training,
    golden_input,
    golden_vector,
)
from edgenode.records import F32, U8
from trainer.architectures import parameter_count
from trainer.classify import classify_with
from trainer.files import write_file
from trainer.networks import Classic, Edge, Network, Residual
from trainer.onnx_graph import pool_globally, strip

OPSET = 20
GOLDEN_COUNT = 2
PARITY = 1e-4
"""Largest difference of a probability between torch and the exported file that is accepted."""


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the card says beyond the graph; `training.parameters` is filled in from the network."""

    name: str
    labels: tuple[str, ...]
    input: InputSpec
    training: Training
    version: str = "1"
    description: str = ""
    task: str = "single_label"
    thresholds: tuple[Threshold, ...] = ()
    abstain_below: float = 0.0
    evaluation: Evaluation | None = None
    drift: DriftReference | None = None
    created_at: str = ""


def facts_of(card: ModelCard) -> CardFacts:
    """The facts of an existing card, for a file made from that model."""
    return CardFacts(
        name=card.name,
        labels=tuple(card.labels),
        input=card.input,
        training=card.training,
        version=card.version,
        description=card.description,
        task=card.task,
        thresholds=tuple(card.thresholds),
        abstain_below=card.abstain_below,
        evaluation=card.evaluation,
        drift=card.drift,
        created_at=card.created_at,
    )


class Deployed(nn.Module):
    """The network as the node sees it: bytes in, calibrated probabilities and the embedding out."""

    def __init__(self, network: Network, temperature: float, multi_label: bool) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.multi_label = multi_label

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        pixels = images.permute(0, 3, 1, 2).to(torch.float32)
        embedding = self.network.features(pixels)
        logits = self.network.head(embedding)
        answer = torch.sigmoid(logits) if self.multi_label else torch.softmax(logits, 1)
        return answer, embedding


def deployable(network: Network, temperature: float, multi_label: bool) -> Deployed:
    """A copy of `network` ready for export: batch norm and temperature folded into the weights before them."""
    folded = copy.deepcopy(network).eval().cpu()
    folded.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    if isinstance(folded, Edge):
        folded.stem = _fold(folded.stem)
        for block in folded.blocks:
            if isinstance(block, Residual):
                block.first = fuse_conv_bn_eval(block.first, block.first_norm)
                block.second = fuse_conv_bn_eval(block.second, block.second_norm)
                block.first_norm = block.second_norm = nn.Identity()  # type: ignore[assignment]
                if isinstance(block.match, nn.Sequential):
                    block.match = _fold(block.match)
    elif not isinstance(folded, Classic):
        raise DataError(f"{type(network).__name__} cannot be exported: its batch norms are not known here")
    with torch.no_grad():
        folded.head.weight.div_(temperature)
        folded.head.bias.div_(temperature)
    return Deployed(folded, temperature, multi_label).eval()


def _fold(layers: nn.Sequential) -> nn.Sequential:
    folded = nn.Sequential()
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            convolution = folded[-1]
            assert isinstance(convolution, nn.Conv2d)
            folded[-1] = fuse_conv_bn_eval(convolution, layer)
        else:
            folded.append(layer)
    return folded


def graph_of(deployed: Deployed, shape: tuple[int, int, int]) -> onnx.ModelProto:
    """The ONNX graph for samples of `shape` (H, W, C). The same weights give the same bytes."""
    example = torch.zeros((2, *shape), dtype=torch.uint8)
    with _quiet():
        program = torch.onnx.export(
            deployed,
            (example,),
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME, EMBEDDING_NAME],
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
            opset_version=OPSET,
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    pool_globally(model)
    strip(model)
    return model


def write_model(
    graph: onnx.ModelProto, path: Path, facts: CardFacts, temperature: float, **extra: Any
) -> ModelCard:
    """Writes `graph` with its card to `path`, atomically. Raises ModelError where the graph does not run.

    `extra`: `quantisation` for the card, `tolerance` of the golden vector. The golden vector is what
    onnxruntime answers here.
    """
    quantisation: Quantisation | None = extra.get("quantisation")
    seen = run_graph(graph, golden_input(facts.input, GOLDEN_COUNT, 0))
    card = ModelCard(
        card_version=COMPARED_VERSION,
        name=facts.name,
        version=facts.version,
        description=facts.description,
        task="multi_label" if facts.task == "multi_label" else "single_label",
        labels=list(facts.labels),
        input=facts.input,
        temperature=temperature,
        thresholds=list(facts.thresholds),
        abstain_below=facts.abstain_below,
        evaluation=facts.evaluation,
        training=facts.training,
        quantisation=quantisation,
        drift=facts.drift,
        golden=golden_vector(facts.input, seen, tolerance=extra.get("tolerance", 1e-3)),
        created_at=facts.created_at or datetime.now(UTC).isoformat(timespec="seconds"),
    )
    card = card.model_copy(update={"card_version": card.needed_version})
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    content = model.SerializeToString(deterministic=True)
    write_file(path, content)
    return card


def export(network: Network, path: Path, facts: CardFacts, temperature: float, pictures: U8) -> ModelCard:
    """Exports `network` to `path` and proves it with the node's own classifier.

    Raises ModelError where, on any of `pictures` (uint8 [N, H, W, C]), a probability differs from torch's by
    more than 1e-4 or the top label differs.
    """
    multi_label = facts.task == "multi_label"
    deployed = deployable(network, temperature, multi_label)
    graph = graph_of(deployed, facts.input.shape)
    training = facts.training.model_copy(update={"parameters": parameter_count(network)})
    card = write_model(graph, path, replace(facts, training=training), temperature)
    if len(pictures):
        check_parity(network, temperature, multi_label, path, pictures)
    return card


def check_parity(network: Network, temperature: float, multi_label: bool, path: Path, pictures: U8) -> float:
    """The largest difference of a probability between torch and the file at `path`. Raises ModelError."""
    from trainer.calibrate import probabilities
    from trainer.train import logits_of

    expected = probabilities(logits_of(network, pictures), temperature, multi_label)
    seen, _ = classify_with(path, pictures)
    worst = float(np.abs(expected - seen).max())
    if worst > PARITY:
        raise ModelError(f"{path}: the exported graph differs from torch by {worst:.2g} in a probability")
    close = np.sort(expected, axis=1)
    tied = close[:, -1] - close[:, -2] <= 2 * PARITY
    if bool(((expected.argmax(1) != seen.argmax(1)) & ~tied).any()):
        raise ModelError(f"{path}: the exported graph names another label than torch")
    return worst


def run_graph(graph: onnx.ModelProto, images: U8) -> F32:
    """`probabilities` of a graph that has no card yet."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when the library is loaded
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: images})[0], dtype=np.float32)


def library_versions() -> dict[str, str]:
    """Versions of what shaped the model, for the card."""
    versions = {}
    for name in ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "opencv-python-headless"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of things inside itself and logs its progress; neither helps the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
