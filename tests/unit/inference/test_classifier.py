"""The gate: a right model answers right, a wrong one is refused in one sentence, a run is kept in bounds."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.errors import InferenceError, ModelError, ProviderError
from edgenode.inference.card import golden_input
from edgenode.inference.classifier import Classifier, ClassifierOptions
from tests.models import DEFECTS, ENDLESS, Tiny, expected, make_model, model_bytes

REFUSED_WITH = {
    "no_card": "no model card",
    "two_cards": "2 model cards",
    "card_not_json": "Invalid JSON",
    "card_unknown_key": "surprise",
    "card_newer": "card_version",
    "card_label_missing": "golden vector's shape",
    "card_other_height": r"the card says \[N, 9, 8, 3\]",
    "card_other_color": r"the card says \[N, 8, 8, 1\]",
    "golden_wrong": "away from the trainer's answer",
    "golden_input_hash": "golden input",
    "weights_changed": "away from the trainer's answer",
    "external_initializer": "data in other files",
    "external_parent": "data in other files",
    "external_absolute": "data in other files",
    "external_attribute": "data in other files",
    "external_subgraph": "data in other files",
    "external_function": "data in other files",
    "external_sparse": "data in other files",
    "input_name": "'pictures'",
    "input_float": "takes uint8",
    "input_channels_first": "onnxruntime refuses",
    "input_fixed_batch": "dynamic batch",
    "input_free_height": "the card says",
    "input_rank": "onnxruntime refuses",
    "second_input": "'more'",
    "output_name": "'probabilities' is missing",
    "output_double": "must be float32",
    "output_labels": "4 probabilities, the card has 2",
    "output_labels_hidden": "4 probabilities, the card has 2",
    "output_rank": "dynamic N",
    "embedding_rank": "'embedding'",
    "sum_not_one": "sum to 0.5",
    "over_one": "probabilities lie in 0 to 1",
    "always_nan": "NaN or Inf",
    "rows_mixed": "the others in its batch",
    "opset_unknown": "onnxruntime refuses",
    "operator_unknown": "Teleport",
    "dangling_input": "nowhere",
    "empty": "empty",
    "not_protobuf": "not an ONNX file",
    "truncated": "cut short",
    "card_not_utf8": "not UTF-8",
    "zeroed_tail": "card is not valid",
    "git_lfs_pointer": "git lfs pull",
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Classifier]:
    """A model with an embedding that no test changes."""
    with Classifier.load_bytes(model_bytes(Tiny(embedding=True)), "shared") as classifier:
        yield classifier


def colours(classifier: Classifier, *levels: int) -> np.ndarray:
    return np.stack([np.full(classifier.card.input.shape, level, dtype=np.uint8) for level in levels])


@pytest.mark.parametrize(
    "tiny",
    [
        Tiny(),
        Tiny(embedding=True, labels=("a", "b", "c", "d")),
        Tiny(color="grey", height=3, width=5),
        Tiny(task="multi_label"),
        Tiny(trips=10),
        Tiny(nan_when_bright=True),
    ],
    ids=["plain", "embedding", "grey", "multi_label", "loop", "nan_when_bright"],
)
def test_answers_as_numpy_does(tmp_path: Path, tiny: Tiny) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_bytes(tiny))
    with Classifier.load(path) as classifier:
        images = golden_input(classifier.card.input, 5, seed=7)
        outputs = classifier.classify(images)
        assert outputs.probabilities.dtype == np.float32
        np.testing.assert_allclose(outputs.probabilities, expected(tiny, images), atol=1e-5)
        assert outputs.finite.all()
        assert (outputs.embedding is not None) == tiny.embedding
        if outputs.embedding is not None:
            np.testing.assert_allclose(outputs.embedding, images.mean(axis=(1, 2)) / 255, atol=1e-5)
        assert classifier.identity.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (classifier.identity.name, classifier.identity.version) == ("tiny", "1.0.0")
        assert classifier.provider == "cpu"


def test_every_defect_has_its_sentence() -> None:
    assert set(REFUSED_WITH) == set(DEFECTS)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_broken_model_is_refused_and_the_sentence_names_file_and_cause(tmp_path: Path, defect: str) -> None:
    path = make_model(tmp_path / "model.onnx", defect=defect)
    with pytest.raises(ModelError, match=REFUSED_WITH[defect]) as caught:
        Classifier.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_external_data_is_refused_even_where_the_file_is_there(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.ones((3, 2), dtype=np.float32).tobytes())
    path = make_model(tmp_path / "model.onnx", defect="external_initializer")
    with pytest.raises(ModelError, match="data in other files"):
        Classifier.load(path)


def test_another_file_than_the_expected_one_is_refused(tmp_path: Path) -> None:
    path = make_model(tmp_path / "model.onnx")
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    Classifier.load(path, ClassifierOptions(expected_sha256=right)).close()
    with pytest.raises(ModelError, match=f"sha256 is {right}"):
        Classifier.load(path, ClassifierOptions(expected_sha256="0" * 64))


def test_a_provider_that_raises_is_to_blame_where_the_processor_takes_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that is gone makes onnxruntime raise like a broken model does."""
    from edgenode.inference import runtime

    path = make_model(tmp_path / "m.onnx")
    real = runtime._session

    def without_device(data: bytes, options: Any, chain: list[Any]) -> Any:
        if len(chain) > 1:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")
        return real(data, options, chain)

    monkeypatch.setattr(runtime, "available_providers", lambda: ("cpu", "cuda"))
    monkeypatch.setattr(runtime, "_session", without_device)
    with pytest.raises(ProviderError, match=r"'cuda' did not start: CUDA failure 100"):
        Classifier.load(path, ClassifierOptions(provider="cuda"))
    with pytest.raises(ModelError, match="refuses the model") as refused:
        runtime.open_session(b"no model at all", 1, "cuda", "m.onnx")
    assert not isinstance(refused.value, ProviderError)


def test_what_tensorrt_lacks_runs_on_the_same_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgenode.inference import runtime

    names = [runtime.PROVIDERS[name] for name in ("tensorrt", "cuda", "cpu")]
    monkeypatch.setattr(runtime, "available_providers", lambda: ("tensorrt", "cuda", "cpu"))
    assert [name for name, _ in runtime._chain("tensorrt")] == names
    assert [name for name, _ in runtime._chain("cuda")] == names[1:]
    assert [name for name, _ in runtime._chain("cpu")] == names[2:]


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "openvino", "abacus"])
def test_a_missing_provider_is_refused_not_replaced(tmp_path: Path, provider: str) -> None:
    from edgenode.inference.runtime import available_providers

    if provider in available_providers():
        pytest.skip(f"this onnxruntime has {provider}")
    path = make_model(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=provider):
        Classifier.load(path, ClassifierOptions(provider=provider))


def test_400_flipped_copies_are_refused_or_answer_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    """Without an expected hash. onnxruntime by itself takes 35 % of such copies."""
    original = model_bytes(Tiny())
    with Classifier.load_bytes(original, "original") as classifier:
        images = golden_input(classifier.card.input, 4, seed=3)
        right = classifier.classify(images).probabilities
        tolerance = classifier.card.golden.tolerance
    rng = random.Random(20)
    taken = 0
    for _ in range(400):
        mutated = bytearray(original)
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        try:
            classifier = Classifier.load_bytes(bytes(mutated), "copy", ClassifierOptions(run_timeout_s=2.0))
        except ModelError:
            continue
        with classifier:
            taken += 1
            np.testing.assert_allclose(classifier.classify(images).probabilities, right, atol=tolerance)
    assert 0 < taken < 100
    assert capfd.readouterr().out == "", "standard output belongs to the command line's answers"


def test_400_flipped_copies_are_all_refused_by_their_hash() -> None:
    original = model_bytes(Tiny())
    options = ClassifierOptions(expected_sha256=hashlib.sha256(original).hexdigest())
    rng = random.Random(21)
    for _ in range(400):
        mutated = bytearray(original)
        at = rng.randrange(len(mutated))
        mutated[at] ^= rng.randrange(1, 256)
        with pytest.raises(ModelError, match="sha256"):
            Classifier.load_bytes(bytes(mutated), "copy", options)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 20))
def test_a_batch_of_n_is_n_batches_of_one(shared: Classifier, seed: int, count: int) -> None:
    images = golden_input(shared.card.input, count, seed)
    together = shared.classify(images)
    assert together.embedding is not None
    for i in range(count):
        alone = shared.classify(images[i : i + 1])
        np.testing.assert_allclose(together.probabilities[i], alone.probabilities[0], atol=1e-6)
        assert alone.embedding is not None
        np.testing.assert_allclose(together.embedding[i], alone.embedding[0], atol=1e-6)


def test_order_in_the_batch_does_not_matter(tmp_path: Path) -> None:
    with Classifier.load(make_model(tmp_path / "m.onnx", labels=("a", "b", "c"))) as classifier:
        images = golden_input(classifier.card.input, 6, seed=1)
        forth = classifier.classify(images).probabilities
        back = classifier.classify(images[::-1]).probabilities
        np.testing.assert_allclose(forth, back[::-1], atol=1e-6)


def test_only_the_rows_that_are_nan_are_reported(tmp_path: Path) -> None:
    with Classifier.load(make_model(tmp_path / "m.onnx", nan_when_bright=True)) as classifier:
        outputs = classifier.classify(colours(classifier, 0, 255, 60, 255))
        assert outputs.finite.tolist() == [True, False, True, False]
        assert np.isfinite(outputs.probabilities[[0, 2]]).all()


def test_an_endless_run_is_ended_and_the_model_serves_on(tmp_path: Path) -> None:
    path = make_model(tmp_path / "m.onnx", trips_when_bright=ENDLESS)
    with Classifier.load(path, ClassifierOptions(run_timeout_s=1.0)) as classifier:
        for _ in range(2):
            with pytest.raises(InferenceError, match=r"longer than 1 s"):
                classifier.classify(colours(classifier, 255))
            assert classifier.classify(colours(classifier, 0)).probabilities[0, 0] > 0.9


def test_one_endless_run_leaves_another_models_runs_alone(tmp_path: Path) -> None:
    stuck = Classifier.load(
        make_model(tmp_path / "s.onnx", trips_when_bright=ENDLESS), ClassifierOptions(run_timeout_s=1.0)
    )
    other = Classifier.load(make_model(tmp_path / "o.onnx"), ClassifierOptions(run_timeout_s=30.0))
    failures: list[InferenceError] = []

    def run_into_the_limit() -> None:
        try:
            stuck.classify(colours(stuck, 255))
        except InferenceError as error:
            failures.append(error)

    with stuck, other:
        thread = threading.Thread(target=run_into_the_limit)
        thread.start()
        answered = 0
        while thread.is_alive():
            other.classify(colours(other, 0))
            answered += 1
        thread.join()
    assert len(failures) == 1
    assert answered > 0


def test_an_endless_model_is_refused(tmp_path: Path) -> None:
    path = make_model(tmp_path / "m.onnx", trips=ENDLESS)
    with pytest.raises(ModelError, match=r"golden vector.*longer than"):
        Classifier.load(path, ClassifierOptions(run_timeout_s=0.3))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 8, 8, 3), dtype=np.float32),
        np.zeros((1, 8, 9, 3), dtype=np.uint8),
        np.zeros((8, 8, 3), dtype=np.uint8),
        np.zeros((0, 8, 8, 3), dtype=np.uint8),
    ],
    ids=["float", "shape", "rank", "none"],
)
def test_an_array_that_does_not_fit_is_refused(shared: Classifier, array: np.ndarray) -> None:
    with pytest.raises(InferenceError, match=r"takes uint8 \[N, 8, 8, 3\]"):
        shared.classify(array)


def test_an_array_that_is_a_view_is_classified_as_its_copy(shared: Classifier) -> None:
    images = golden_input(shared.card.input, 8, seed=4)
    view = images[::2, :, ::-1]
    np.testing.assert_array_equal(
        shared.classify(view).probabilities, shared.classify(np.ascontiguousarray(view)).probabilities
    )


def test_closed_is_closed_and_may_be_closed_again(tmp_path: Path) -> None:
    classifier = Classifier.load(make_model(tmp_path / "m.onnx"))
    images = colours(classifier, 0)
    classifier.close()
    classifier.close()
    with pytest.raises(InferenceError, match="closed"):
        classifier.classify(images)


def test_the_limiter_thread_ends_with_the_last_classifier(tmp_path: Path) -> None:
    script = (
        "import sys, threading; from pathlib import Path\n"
        "from edgenode.inference.classifier import Classifier\n"
        "from edgenode.errors import ModelError\n"
        "a = Classifier.load(Path(sys.argv[1])); b = Classifier.load(Path(sys.argv[1]))\n"
        "names = lambda: [t.name for t in threading.enumerate() if t is not threading.main_thread()]\n"
        "assert names() == ['run-limiter'], names()\n"
        "a.close(); a.close(); assert names() == ['run-limiter'], names()\n"
        "b.close(); assert names() == [], names()\n"
        "c = Classifier.load(Path(sys.argv[1])); assert names() == ['run-limiter']\n"
        "c.close(); assert names() == []\n"
        "try: Classifier.load(Path(sys.argv[2]))\n"
        "except ModelError: assert names() == [], names()\n"
        "else: raise SystemExit('taken')\n"
    )
    good, bad = make_model(tmp_path / "good.onnx"), make_model(tmp_path / "bad.onnx", defect="golden_wrong")
    subprocess.run([sys.executable, "-c", script, str(good), str(bad)], check=True, timeout=60)


def test_telemetry_is_off_before_onnxruntime_is_imported_and_reading_a_card_needs_no_onnxruntime() -> None:
    script = (
        "import os, sys\n"
        "import edgenode.inference.onnx_file, edgenode.inference.pixels, edgenode.inference.sample_buffer\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "os.environ['ORT_DISABLE_TELEMETRY'] = '0'\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'onnxruntime': print(os.environ['ORT_DISABLE_TELEMETRY'])\n"
        "sys.meta_path.insert(0, Watch())\n"
        "import edgenode.inference.classifier\n"
        "assert 'onnx' not in sys.modules and 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True
    )
    assert done.stdout.split() == ["1"]


def test_a_refused_model_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for defect in ("golden_wrong", "operator_unknown", "truncated"):
        with pytest.raises(ModelError):
            Classifier.load(make_model(tmp_path / "m.onnx", defect=defect))
    with pytest.raises(ModelError):
        Classifier.load(make_model(tmp_path / "m.onnx", trips=ENDLESS), ClassifierOptions(run_timeout_s=0.1))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_loading_a_model_leaves_the_threads_arithmetic_alone(tmp_path: Path) -> None:
    """In a process of its own: only the first session of a process would change it."""
    path = str(make_model(tmp_path / "model.onnx"))
    code = (
        "import sys; from pathlib import Path; from edgenode.inference.classifier import Classifier\n"
        "Classifier.load(Path(sys.argv[1])).close()\n"
        "print(5e-324 * 1.0 > 0.0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "True"
