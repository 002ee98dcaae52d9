"""The model card: everything about a model that is not its graph, stored inside the `.onnx` file.

The trainer writes it, the node trusts nothing else: no label, size, mean or threshold stands in code.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Annotated, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, Field, ValidationError, model_validator

from edgenode.errors import ModelError
from edgenode.inference.card_evaluation import Bin as Bin
from edgenode.inference.card_evaluation import CardPart, Sha256, Unit
from edgenode.inference.card_evaluation import ClassScore as ClassScore
from edgenode.inference.card_evaluation import Evaluation as Evaluation
from edgenode.inference.card_evaluation import Interval as Interval
from edgenode.records import F32, U8

METADATA_KEY = "edgenode.card"
"""The key in the ONNX `metadata_props` under which the card's JSON stands."""
MAX_CARD_CHARACTERS = 8 * 2**20
"""A confusion matrix of 1,000 labels takes 3 million."""
CARD_VERSION: Final = 1
COMPARED_VERSION: Final = 2
"""Of cards that hold a comparison, an embedding reference or what of a calibration error is chance; nodes that know
version 1 alone refuse them."""
INPUT_NAME = "images"
OUTPUT_NAME = "probabilities"
EMBEDDING_NAME = "embedding"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class _Strict(BaseModel):
    model_config = CardPart.model_config


class InputSpec(_Strict):
    """How a region's pixels become the model's input; `pixels.prepare` follows it for node and trainer."""

    height: Annotated[int, Field(ge=1, le=2048)]
    width: Annotated[int, Field(ge=1, le=2048)]
    color: Literal["rgb", "grey"] = "rgb"
    resize: Literal["stretch", "letterbox", "crop"] = "stretch"
    interpolation: Literal["area", "linear", "nearest"] = "area"

    @property
    def channels(self) -> int:
        return 3 if self.color == "rgb" else 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one sample."""
        return self.height, self.width, self.channels


class Threshold(_Strict):
    """Probability from which a label is taken as present, with what that gave on the validation part."""

    label: str
    enter: Unit
    leave: Unit
    precision: Unit | None = None
    recall: Unit | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.leave > self.enter:
            raise ValueError(f"threshold of {self.label!r}: leave {self.leave} is above enter {self.enter}")
        return self


class Training(_Strict):
    """Where the model comes from."""

    architecture: str
    parameters: Annotated[int, Field(ge=0)]
    data_manifest_sha256: Sha256 | None = None
    data_summary: str = ""
    seed: int | None = None
    epochs: float | None = None
    duration_s: float | None = None
    libraries: dict[str, str] = {}
    """Library name to version."""
    options: dict[str, str | int | float | bool | None] = {}
    origin: str = "edgenode-trainer"
    """`edgenode-trainer`, or the framework an imported model was made with."""


class DriftReference(_Strict):
    """The distribution of the top label's probability on the validation part, in equal bins from 0 to 1."""

    confidence_histogram: list[Unit]
    embedding_mean: list[float] = []
    embedding_std: list[float] = []
    embedding: EmbeddingReference | None = None
    """In cards of version 2."""


class EmbeddingReference(_Strict):
    """How the embedding lies on the validation part, seen along a few fixed directions.

    Direction p is a row of `directions(P, D)`. Each one's histogram is over the bins between its `edges`: inner
    edges, ascending, the outer bins open.
    """

    dimension: Annotated[int, Field(ge=1, le=65536)]
    edges: Annotated[list[list[float]], Field(min_length=1, max_length=64)]
    histograms: list[list[Unit]]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.edges) != len(self.histograms):
            raise ValueError("the embedding reference needs one histogram for each row of edges")
        for edges, histogram in zip(self.edges, self.histograms, strict=True):
            if len(histogram) != len(edges) + 1 or not np.isfinite(edges).all() or sorted(edges) != edges:
                raise ValueError("the embedding reference's edges must ascend, with one more bin than edges")
        return self

    def bins(self, embedding: F32) -> list[int]:
        """The bin of one embedding (float32 [D]) along each direction. Raises ValueError for another length."""
        if embedding.shape != (self.dimension,):
            raise ValueError(f"the embedding is {embedding.shape}, its reference {self.dimension} wide")
        along = directions(len(self.edges), self.dimension) @ embedding
        return [int(np.searchsorted(edges, value)) for edges, value in zip(self.edges, along, strict=True)]


class Comparison(_Strict):
    """The maker's proof that this model may take the place of another one: `edgenode-trainer compare`'s result on
    the same pictures. As trustworthy as whoever signed the file."""

    against_sha256: Sha256
    """The file it was compared with."""
    verdict: Literal["better", "equal", "worse"]
    samples: Annotated[int, Field(ge=1)]
    test_set_sha256: Sha256
    accuracy_before: Unit
    accuracy_now: Unit
    difference: Interval
    """Accuracy now minus before, paired, with its 95 % interval."""
    p_value: Unit
    compared_at: str = ""
    """RFC 3339, UTC."""


class Quantisation(_Strict):
    """What quantising changed, measured beside the float model in one run."""

    scheme: Literal["int8-qdq"]
    accuracy_change: Interval
    """INT8 minus FP32, paired."""
    speedup: float
    """FP32 time over INT8 time for one batch, median of pairs; above 1 INT8 is faster."""
    float_bytes: int


class GoldenVector(_Strict):
    """A tiny input and the output the trainer got for it. The node runs it at load.

    The input is not stored: it is `golden_input(spec, count, seed)`, the same bytes everywhere.
    """

    seed: int = 0
    count: Annotated[int, Field(ge=1, le=16)] = 2
    probabilities: list[list[float]]
    tolerance: Annotated[float, Field(gt=0.0, le=0.05)] = 1e-3
    input_sha256: Sha256
    """Of the generated input's bytes: shows a generator that differs before the model is blamed."""


class ModelCard(_Strict):
    """The JSON under `edgenode.card`. Extra keys are refused: a newer card needs a newer node."""

    card_version: Literal[1, 2] = CARD_VERSION
    name: Name
    version: Annotated[str, Field(min_length=1, max_length=64)]
    description: str = ""
    task: Literal["single_label", "multi_label"] = "single_label"
    labels: Annotated[list[str], Field(min_length=2, max_length=10_000)]
    input: InputSpec
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    """Already applied inside the graph; kept for the record."""
    thresholds: list[Threshold] = []
    abstain_below: Unit = 0.0
    """Calibrated confidence under which the answer counts as `unknown`; 0 never abstains."""
    evaluation: Evaluation | None = None
    training: Training
    quantisation: Quantisation | None = None
    drift: DriftReference | None = None
    comparison: Comparison | None = None
    """In cards of version 2."""
    golden: GoldenVector
    created_at: str = ""
    """RFC 3339, UTC."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.card_version < self.needed_version:
            raise ValueError(
                "a comparison, an embedding reference or a calibration error's share of chance needs card_version "
                f"{COMPARED_VERSION}"
            )
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels repeat")
        for label in self.labels:
            if not label or len(label) > 64 or any(ord(c) < 32 for c in label):
                raise ValueError(f"label {label!r} is empty, over 64 characters or holds control characters")
            if label in ("unknown", "invalid"):
                raise ValueError(f"label {label!r} is reserved for states in which nothing can be said")
        for threshold in self.thresholds:
            if threshold.label not in self.labels:
                raise ValueError(f"a threshold names {threshold.label!r}, which is not a label")
        rows = self.golden.probabilities
        if len(rows) != self.golden.count or any(len(row) != len(self.labels) for row in rows):
            raise ValueError("the golden vector's shape is not [count, number of labels]")
        return self

    @property
    def needed_version(self) -> Literal[1, 2]:
        """The lowest card version that can hold what is here."""
        newer = (
            self.comparison is not None
            or (self.drift is not None and self.drift.embedding is not None)
            or (self.evaluation is not None and self.evaluation.newer)
        )
        return COMPARED_VERSION if newer else CARD_VERSION

    def threshold(self, label: str) -> Threshold | None:
        """The stored threshold of `label`, if the trainer chose one."""
        return next((t for t in self.thresholds if t.label == label), None)

    def to_json(self) -> str:
        return self.model_dump_json(exclude_none=True)


def parse_card(text: str, where: str) -> ModelCard:
    """The card in `text`, found in the file `where`. Raises ModelError naming every field that is wrong."""
    if len(text) > MAX_CARD_CHARACTERS:
        raise ModelError(
            f"{where}: the model card has {len(text)} characters; at most {MAX_CARD_CHARACTERS} are read"
        )
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        first = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'card'}: {item['msg']}"
            for item in error.errors(include_url=False)[:5]
        )
        raise ModelError(f"{where}: the model card is not valid: {first}") from error


def golden_input(spec: InputSpec, count: int, seed: int) -> U8:
    """The golden vector's input, uint8 [count, H, W, C]: smooth blobs plus noise, from a fixed recipe.

    Computed from a 32-bit linear congruential generator (Numerical Recipes' constants) rather than a
    library's random numbers, which may change between versions.
    """
    height, width, channels = spec.shape
    size = count * height * width * channels
    steps = np.arange(1, size + 1, dtype=np.uint64)
    state = (np.uint64(seed) + np.uint64(1)) * np.uint64(2654435761) + steps * np.uint64(1664525)
    state = (state ^ (state >> np.uint64(13))) * np.uint64(1274126177)
    noise = ((state >> np.uint64(16)) & np.uint64(63)).reshape(count, height, width, channels)
    rows = np.arange(height, dtype=np.uint64).reshape(1, height, 1, 1)
    columns = np.arange(width, dtype=np.uint64).reshape(1, 1, width, 1)
    planes = np.arange(channels, dtype=np.uint64).reshape(1, 1, 1, channels)
    images = np.arange(count, dtype=np.uint64).reshape(count, 1, 1, 1)
    ramp = rows * (images + np.uint64(1)) * np.uint64(3) + columns * np.uint64(2) + planes * np.uint64(40)
    return np.asarray((ramp % np.uint64(192)) + noise, dtype=np.uint8)


@lru_cache(maxsize=16)
def directions(count: int, dimension: int) -> F32:
    """float32 [count, dimension] of ±1/√dimension, the same everywhere: what embeddings are projected on.

    Random signs keep distances as well as random normals do (D. Achlioptas, "Database-friendly random
    projections", 2003). The generator is the golden input's.
    """
    steps = np.arange(1, count * dimension + 1, dtype=np.uint64)
    state = np.uint64(2654435761) + steps * np.uint64(1664525)
    state = (state ^ (state >> np.uint64(13))) * np.uint64(1274126177)
    state = (state ^ (state >> np.uint64(16))) * np.uint64(2246822519)
    signs = ((state >> np.uint64(29)) & np.uint64(1)).reshape(count, dimension).astype(np.float32)
    rows = np.asarray((2 * signs - 1) / np.sqrt(np.float32(dimension)), dtype=np.float32)
    rows.flags.writeable = False
    return rows


def embedding_reference(embeddings: F32, count: int = 8, bins: int = 10) -> EmbeddingReference:
    """The reference for `embeddings`, float32 [N, D]: `count` directions, the edges at their quantiles."""
    dimension = int(embeddings.shape[1])
    along = embeddings @ directions(count, dimension).T
    edges = np.quantile(along, np.arange(1, bins) / bins, axis=0).T
    rows, histograms = [], []
    for row, values in zip(edges, along.T, strict=True):
        kept = sorted({round(float(edge), 6) for edge in row})
        counts = np.bincount(np.searchsorted(kept, values), minlength=len(kept) + 1)
        rows.append(kept)
        histograms.append([round(float(each), 6) for each in counts / max(1, counts.sum())])
    return EmbeddingReference(dimension=dimension, edges=rows, histograms=histograms)


def golden_vector(
    spec: InputSpec, probabilities: F32, seed: int = 0, tolerance: float = 1e-3
) -> GoldenVector:
    """The card's golden vector for the answers `probabilities` (float32 [count, K]) to `golden_input`."""
    count = int(probabilities.shape[0])
    return GoldenVector(
        seed=seed,
        count=count,
        probabilities=[[round(float(p), 7) for p in row] for row in probabilities],
        tolerance=tolerance,
        input_sha256=hashlib.sha256(golden_input(spec, count, seed).tobytes()).hexdigest(),
    )
