"""One proven model, ready to classify batches.

`Classifier.load` is the gate every model passes on every node, whatever the trainer says of it: the bytes
that are hashed are the bytes that are parsed are the bytes that are loaded, and the golden vector is run
before anybody sees an answer. It refuses with one ModelError that names the file and what does not fit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgenode.errors import InferenceError, ModelError, RunTimeoutError
from edgenode.inference import runtime
from edgenode.inference.card import EMBEDDING_NAME, INPUT_NAME, OUTPUT_NAME, ModelCard, golden_input
from edgenode.inference.onnx_file import card_of, parse_onnx, read_model_bytes
from edgenode.inference.run_limit import limiter
from edgenode.inference.signature import NO_TRUST, Trust
from edgenode.records import F32, U8, ModelIdentity

_FIRST_RUN_S = 600.0
"""What the golden vector may take where a provider compiles in its first run (TensorRT: minutes)."""
_SUM_TOLERANCE = 1e-3
_RANGE_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class ClassifierOptions:
    """How a model is loaded and run."""

    threads: int = 1
    provider: str = "cpu"
    """cpu, openvino, cuda or tensorrt."""
    expected_sha256: str | None = None
    """Lower-case hexadecimal; any other file is refused."""
    run_timeout_s: float = 5.0
    """A run that takes longer is ended; so is the golden vector's."""
    name: str | None = None
    """What the node calls the model in messages and metrics; the card's own name when not given."""
    trust: Trust = NO_TRUST
    """Whose signatures count, and whether one is needed."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The answers to one batch, row by row. Rows that are not `finite` hold NaN or Inf and mean nothing."""

    probabilities: F32
    """[N, K], in the order of the card's labels."""
    embedding: F32 | None
    """[N, D], where the model has that output."""
    finite: NDArray[np.bool_]
    """[N]"""


class Classifier:
    """One loaded model. `classify` may be called from several threads; `close` once no thread does."""

    def __init__(self, session: Any, card: ModelCard, sha256: str, options: ClassifierOptions) -> None:
        """For `load` alone, which proves what is given here."""
        self._session = session
        self._run_timeout_s = options.run_timeout_s
        self._outputs = [
            output.name for output in session.get_outputs() if output.name in (OUTPUT_NAME, EMBEDDING_NAME)
        ]
        self.card = card
        self.identity = ModelIdentity(options.name or card.name, card.version, sha256)
        self.provider = options.provider
        self._open = True
        limiter.acquire()

    @classmethod
    def load(cls, path: Path, options: ClassifierOptions | None = None) -> Self:
        """Read, check and prove the model file at `path`. Raises ModelError."""
        where = str(path)
        return cls.load_bytes(read_model_bytes(path), where, options)

    @classmethod
    def load_bytes(cls, data: bytes, where: str, options: ClassifierOptions | None = None) -> Self:
        """`load` for bytes that came from `where`. Raises ModelError."""
        options = options if options is not None else ClassifierOptions()
        sha256 = hashlib.sha256(data).hexdigest()
        if options.expected_sha256 is not None and sha256 != options.expected_sha256:
            raise ModelError(
                f"{where}: sha256 is {sha256}, expected {options.expected_sha256}: not the file you meant"
            )
        options.trust.check(data, where)
        outline = parse_onnx(data, where)
        if outline.external_data:
            names = ", ".join(outline.external_data[:3])
            raise ModelError(f"{where}: keeps data in other files (tensors {names}); save it as one file")
        card = card_of(outline, where)
        session = runtime.open_session(data, options.threads, options.provider, where)
        _check_input(session.get_inputs(), card, where)
        _check_outputs(session.get_outputs(), card, where)
        classifier = cls(session, card, sha256, options)
        try:
            classifier._prove(where)
        except BaseException:
            classifier.close()
            raise
        return classifier

    def classify(self, array: U8) -> Outputs:
        """The answers to `array`, uint8 [N, H, W, C] as the card says, N from 1.

        Raises InferenceError when the array does not fit, the model fails, or it runs longer than its limit.
        """
        return self._run(array, self._run_timeout_s)

    def close(self) -> None:
        """Free the session. Closing twice is allowed."""
        if self._open:
            self._open = False
            self._session = None
            limiter.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, array: U8, timeout_s: float) -> Outputs:
        session = self._session
        name = self.identity.name
        if session is None:
            raise InferenceError(f"model {name}: is closed")
        if (
            array.dtype != np.uint8
            or array.ndim != 4
            or array.shape[1:] != self.card.input.shape
            or not len(array)
        ):
            raise InferenceError(
                f"model {name}: takes uint8 [N, {', '.join(map(str, self.card.input.shape))}], "
                f"was given {array.dtype} {list(array.shape)}"
            )
        options = runtime.run_options()
        with limiter.limit(options, timeout_s) as run:
            try:
                answers = session.run(self._outputs, {INPUT_NAME: np.ascontiguousarray(array)}, options)
            except Exception as error:
                if run.expired:
                    raise RunTimeoutError(
                        f"model {name}: ran longer than {timeout_s:g} s and was stopped"
                    ) from error
                raise InferenceError(f"model {name}: {runtime.first_line(error)}") from error
        by_name = dict(zip(self._outputs, answers, strict=True))
        probabilities: F32 = by_name[OUTPUT_NAME]
        embedding: F32 | None = by_name.get(EMBEDDING_NAME)
        if probabilities.shape != (len(array), len(self.card.labels)):
            raise InferenceError(
                f"model {name}: answered {list(probabilities.shape)} "
                f"instead of [{len(array)}, {len(self.card.labels)}]"
            )
        finite = np.asarray(np.isfinite(probabilities).all(axis=1))
        if embedding is not None:
            if embedding.ndim != 2 or len(embedding) != len(array):
                raise InferenceError(
                    f"model {name}: its embedding is {list(embedding.shape)}, not [{len(array)}, D]"
                )
            finite = finite & np.isfinite(embedding).all(axis=1)
        return Outputs(probabilities, embedding, finite)

    def _prove(self, where: str) -> None:
        """Run the golden vector, whole and picture by picture, and compare. Raises ModelError."""
        golden = self.card.golden
        images = golden_input(self.card.input, golden.count, golden.seed)
        if hashlib.sha256(images.tobytes()).hexdigest() != golden.input_sha256:
            raise ModelError(
                f"{where}: the golden input made here is not the trainer's; the card or this node is wrong"
            )
        timeout_s = self._run_timeout_s if self.provider == "cpu" else max(self._run_timeout_s, _FIRST_RUN_S)
        try:
            together = self._run(images, timeout_s)
            alone = np.concatenate(
                [self._run(images[i : i + 1], timeout_s).probabilities for i in range(golden.count)]
            )
        except InferenceError as error:
            raise ModelError(f"{where}: fails on the golden vector: {error}") from error
        rows = together.probabilities
        if not together.finite.all():
            raise ModelError(f"{where}: answers the golden vector with NaN or Inf")
        if rows.min() < -_RANGE_TOLERANCE or rows.max() > 1 + _RANGE_TOLERANCE:
            raise ModelError(
                f"{where}: answers {rows.min():.4g} to {rows.max():.4g}; probabilities lie in 0 to 1"
            )
        if self.card.task == "single_label" and np.abs(rows.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
            raise ModelError(
                f"{where}: the probabilities of a picture sum to {rows.sum(axis=1).max():.4g}, not to 1"
            )
        away = float(np.abs(rows - np.asarray(golden.probabilities, dtype=np.float32)).max())
        if away > golden.tolerance:
            raise ModelError(
                f"{where}: answers the golden vector {away:.4g} away from the trainer's answer (allowed "
                f"{golden.tolerance:g}): damaged, or run differently here; do not use it"
            )
        mixed = float(np.abs(rows - alone).max())
        if not mixed <= golden.tolerance:
            raise ModelError(
                f"{where}: a picture's answer changes by {mixed:.4g} with the others in its batch; export it "
                "in evaluation mode, with no operation across the batch"
            )


def _check_input(inputs: Sequence[Any], card: ModelCard, where: str) -> None:
    names = [port.name for port in inputs]
    if names != [INPUT_NAME]:
        raise ModelError(f"{where}: the inputs are {names}; a model has one, {INPUT_NAME!r}")
    port = inputs[0]
    if port.type != "tensor(uint8)":
        raise ModelError(f"{where}: the input is {port.type}; it takes uint8, scaling belongs into the graph")
    if len(port.shape) != 4 or tuple(port.shape[1:]) != card.input.shape:
        raise ModelError(
            f"{where}: the input's shape is {port.shape}, "
            f"the card says [N, {', '.join(map(str, card.input.shape))}]"
        )
    if isinstance(port.shape[0], int):
        raise ModelError(
            f"{where}: the input's batch size is fixed to {port.shape[0]}; export it with a dynamic batch"
        )


def _check_outputs(outputs: Sequence[Any], card: ModelCard, where: str) -> None:
    ports = {port.name: port for port in outputs}
    if OUTPUT_NAME not in ports:
        raise ModelError(f"{where}: the outputs are {list(ports)}; {OUTPUT_NAME!r} is missing")
    for name in (OUTPUT_NAME, EMBEDDING_NAME):
        port = ports.get(name)
        if port is None:
            continue
        if port.type != "tensor(float)":
            raise ModelError(f"{where}: output {name!r} is {port.type}; it must be float32")
        if len(port.shape) != 2 or isinstance(port.shape[0], int):
            raise ModelError(
                f"{where}: output {name!r} has the shape {port.shape}; it must be [N, …] with a dynamic N"
            )
    width = ports[OUTPUT_NAME].shape[1]
    if isinstance(width, int) and width != len(card.labels):
        raise ModelError(
            f"{where}: the graph answers {width} probabilities, the card has {len(card.labels)} labels"
        )
