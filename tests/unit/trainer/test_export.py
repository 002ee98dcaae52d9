"""What leaves the trainer: parity with torch, calibration, INT8, pruning and teachers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import softmax

from edgenode.errors import DataError, ModelError
from edgenode.inference.card import COMPARED_VERSION, InputSpec, Interval, Training
from edgenode.inference.classifier import Classifier
from edgenode.records import U8
from tests.pictures_made import noise
from trainer.architectures import build, parameter_count
from trainer.augment import NONE, Augment
from trainer.calibrate import probabilities, temperature
from trainer.classify import classify_with
from trainer.distill import FileTeacher, NetworkTeacher
from trainer.export import CardFacts, check_parity, deployable, export, graph_of, write_model
from trainer.fit import drift_reference
from trainer.int8_proof import Cost, SideBySide, paired_change, proof_pictures, prove_int8, side_by_side, wins
from trainer.networks import Network, NetworkSpec
from trainer.options import Hooks, TrainOptions
from trainer.prune import prune
from trainer.quantise import quantise
from trainer.train import logits_of, train


@dataclass(frozen=True)
class Examples:
    images: U8
    labels: NDArray[np.int64]


def stripes(count: int, seed: int, side: int = 16) -> Examples:
    """Noise with a bright band: at the top, in the middle, at the bottom."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 3).astype(np.int64)
    images = rng.integers(0, 100, (count, side, side, 1)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[label * side // 3 : label * side // 3 + side // 4] += 110
    return Examples(images, labels)


def shaken(spec: NetworkSpec) -> Network:
    """A network whose batch norms do something, as after a training."""
    torch.manual_seed(0)
    network = build(spec)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()


@pytest.fixture(scope="module")
def trained() -> Network:
    options = TrainOptions(architecture="edge-s", epochs=6, batch=16, precision="float32", augment=NONE)
    return train(NetworkSpec("edge-s", 3, 16, 16, 1), stripes(96, 1), stripes(30, 2), options).network


def facts(spec: NetworkSpec, task: str = "single_label") -> CardFacts:
    return CardFacts(
        name="bands",
        labels=tuple(f"label {index}" for index in range(spec.classes)),
        input=InputSpec(height=spec.height, width=spec.width, color="grey" if spec.channels == 1 else "rgb"),
        training=Training(architecture=spec.architecture, parameters=0),
        task=task,
        created_at="2026-01-01T00:00:00+00:00",
    )


def lost_by_int8(network: Network, pictures: U8, folder: Path) -> float:
    """How far a probability moves from the FP32 file, which answers as torch does, to the INT8 one. Both know black."""
    path, small = folder / "model.onnx", folder / "int8.onnx"
    export(network, path, facts(network.spec), 1.7, pictures)
    assert check_parity(network, 1.7, False, path, pictures) <= 1e-4
    quantise(path, pictures, small)
    answers = []
    for file in (path, small):
        with Classifier.load(file) as classifier:
            answers.append(classifier.classify(pictures).probabilities)
            assert np.isfinite(classifier.classify(np.zeros_like(pictures[:1])).probabilities).all()
    return float(np.abs(answers[0] - answers[1]).max())


@pytest.mark.parametrize(
    ("architecture", "height", "width", "channels", "task"),
    [
        ("classic", 32, 32, 3, "single_label"),
        ("edge-s", 28, 45, 1, "multi_label"),
        ("edge-m", 65, 51, 3, "single_label"),
        ("edge-l", 129, 110, 1, "single_label"),
    ],
)
def test_the_file_answers_as_torch_does(
    tmp_path: Path, architecture: str, height: int, width: int, channels: int, task: str
) -> None:
    spec = NetworkSpec(architecture, 4, height, width, channels)
    network = shaken(spec)
    pictures = np.random.default_rng(1).integers(0, 256, (9, height, width, channels), dtype=np.uint8)
    path = tmp_path / "model.onnx"
    card = export(network, path, facts(spec, task), 1.7, pictures)
    assert check_parity(network, 1.7, task == "multi_label", path, pictures) <= 1e-4
    assert card.training.parameters == parameter_count(network)
    with Classifier.load(path) as classifier:
        one = np.concatenate([classifier.classify(picture[None]).probabilities for picture in pictures])
        whole = classifier.classify(pictures)
    assert np.abs(one - whole.probabilities).max() < 1e-5
    assert whole.embedding is not None
    kinds = {node.op_type for node in onnx.load(str(path)).graph.node}
    assert "BatchNormalization" not in kinds
    assert "ReduceMean" not in kinds


def test_pictures_normalised_by_themselves_may_be_darker_and_flatter(tmp_path: Path) -> None:
    pictures = np.stack([noise(seed, 32, 32) for seed in range(24)])
    spec = NetworkSpec("edge-s", 4, 32, 32, 3, each_picture=True)
    network = shaken(spec)
    usual, darker = (torch.from_numpy(p).permute(0, 3, 1, 2).float() for p in (pictures, pictures // 2 + 20))
    assert (network.normalised(usual) - network.normalised(darker)).abs().max() < 0.15
    assert network.normalised(usual).std() > 0.9
    assert lost_by_int8(network, pictures, tmp_path) < 0.05


def test_enough_pictures_put_the_embedding_into_the_card(tmp_path: Path) -> None:
    network = shaken(NetworkSpec("edge-s", 3, 16, 16, 1))
    path = tmp_path / "model.onnx"
    facts = CardFacts(
        "m",
        ("a", "b", "c"),
        InputSpec(height=16, width=16, color="grey"),
        Training(architecture="edge-s", parameters=0),
    )
    pictures = stripes(120, 5).images
    export(network, path, facts, 1.0, pictures[:4])
    answers, embeddings = classify_with(path, pictures)
    assert embeddings is not None
    few = drift_reference(answers[:99], embeddings[:99])
    assert few.embedding is None
    assert len(few.embedding_mean or ()) == embeddings.shape[1]
    reference = drift_reference(answers, embeddings)
    graph = onnx.load(str(path))
    card = write_model(graph, path, replace(facts, drift=reference), 1.0)
    with Classifier.load(path) as classifier:
        kept = classifier.card
    assert kept == card
    assert kept.card_version == kept.needed_version == COMPARED_VERSION
    assert kept.drift is not None
    assert kept.drift.embedding == reference.embedding is not None
    assert np.allclose(kept.drift.embedding_mean, embeddings.mean(axis=0), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "instead"),
    [
        (TrainOptions(architecture="classic", normalise="picture", epochs=1), "--normalise data"),
        (TrainOptions(architecture="classic", stem="lines", epochs=1), "--stem learnt"),
    ],
)
def test_the_classic_is_kept_as_it_is(options: TrainOptions, instead: str) -> None:
    with pytest.raises(DataError, match=instead):
        train(NetworkSpec("classic", 3, 16, 16, 1), stripes(12, 1), stripes(6, 2), options)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_that_begins_with_lines_answers_in_the_file_as_in_torch(
    tmp_path: Path, channels: int
) -> None:
    spec = NetworkSpec("edge-s", 3, 50, 64, channels, each_picture=True, stem="lines")
    network = shaken(spec)
    pictures = np.random.default_rng(1).integers(0, 256, (9, 50, 64, channels), dtype=np.uint8)
    assert lost_by_int8(network, pictures, tmp_path) < 0.1


def test_few_pictures_move_the_temperature_little() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 4000)
    logits = torch.from_numpy(
        np.eye(2)[labels] * 0.5 + rng.normal(0, 0.1, (4000, 2))
    )  # far too modest: always right
    few, many = (temperature(logits[:n], labels[:n]) for n in (20, 4000))
    assert many < few < 1.0
    assert many < 0.2
    assert few > 0.2


def test_confidence_is_as_high_as_answers_are_right_even_where_a_few_are_hard() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 120)
    gaps = np.where(rng.random(120) < 0.1, 0.3, 3.6)  # all right, a tenth of them hardly
    logits = torch.from_numpy(np.eye(2)[labels] * gaps[:, None])
    found = temperature(logits, labels, 0.05)
    assert float(softmax(logits, 1).amax(1).mean()) < 0.945
    assert 0.96 < float(softmax(logits / found, 1).amax(1).mean()) < 0.999
    several = np.eye(2)[labels].astype(np.float32)
    assert 0.05 < temperature(logits - logits.mean(1, keepdim=True), several) < 1.0


def test_a_network_whose_labels_were_smoothed_is_expected_to_be_too_modest() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, 4000)
    smoothed = math.log1p(6 * 0.95 / 0.05)  # how far apart the logits of a sure answer are then
    logits = torch.from_numpy(np.eye(6)[labels] * smoothed + rng.normal(0, 0.1, (4000, 6)))
    few, told = (temperature(logits[:100], labels[:100], smoothing) for smoothing in (0.0, 0.05))
    assert told < few < 1.0
    sureness = [float(softmax(logits / each, 1).amax(1).mean()) for each in (1.0, few, told)]
    assert sureness[0] < 0.96 < sureness[1] < sureness[2] < 0.999
    assert temperature(logits, labels, 0.05) == pytest.approx(temperature(logits, labels), rel=0.05)


def test_the_same_weights_give_the_same_bytes_that_tell_nothing_of_the_machine(
    tmp_path: Path, trained: Network
) -> None:
    for name in ("a.onnx", "b.onnx"):
        export(trained, tmp_path / name, facts(trained.spec), 1.0, stripes(3, 1).images)
    content = (tmp_path / "a.onnx").read_bytes()
    assert content == (tmp_path / "b.onnx").read_bytes()
    assert b"site-packages" not in content
    assert str(Path(__file__).parents[3]).encode() not in content


def test_a_graph_that_differs_from_torch_is_refused(tmp_path: Path, trained: Network) -> None:
    path = tmp_path / "model.onnx"
    export(trained, path, facts(trained.spec), 1.0, stripes(3, 1).images)
    with pytest.raises(ModelError, match="differs from torch"):
        check_parity(trained, 3.0, False, path, stripes(12, 5).images)


def test_the_temperature_that_made_the_answers_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(0, 2, (20_000, 4)))
    chances = torch.softmax(logits, 1).numpy()
    labels = np.array([rng.choice(4, p=row) for row in chances])
    for claimed in (0.4, 1.0, 3.0):
        assert temperature(logits * claimed, labels) == pytest.approx(claimed, rel=0.05)
    several = (rng.random(chances.shape) < torch.sigmoid(logits).numpy()).astype(np.float32)
    assert temperature(logits * 2.0, several) == pytest.approx(2.0, rel=0.05)


def test_calibration_without_a_mistake_stays_short_of_certainty() -> None:
    labels = np.arange(60) % 3
    logits = torch.eye(3)[torch.from_numpy(labels)] * 30.0
    answers = probabilities(logits, temperature(logits, labels), False)
    assert 0.97 < float(answers.max()) < 0.999
    assert temperature(torch.zeros(0, 3), np.zeros(0, np.int64)) == 1.0


def test_int8_answers_alike_and_carries_its_own_proof(tmp_path: Path, trained: Network) -> None:
    float_path, int8_path = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    test = stripes(60, 7)
    export(trained, float_path, facts(trained.spec), 1.0, test.images)
    card = quantise(float_path, stripes(96, 1).images, int8_path)
    assert card.labels == ["label 0", "label 1", "label 2"]
    measured = side_by_side(float_path, int8_path, test, rounds=3)
    assert measured.accuracy_change.value >= -0.05
    assert measured.float_cost.cpu_s > 0
    assert measured.int8_cost.file_bytes < measured.float_cost.file_bytes
    graph = onnx.load(str(int8_path)).graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    softmax = next(node for node in graph.node if node.op_type == "Softmax")
    assert made_by[softmax.input[0]] == "Gemm"
    assert any(node.op_type == "QuantizeLinear" for node in graph.node)


def measured(speedup: float, change: float) -> SideBySide:
    cost = Cost(1000, 1.0, 0.001)
    return SideBySide(cost, cost, speedup, 0.9, 0.9 + change, Interval(value=change, low=-1, high=1), 100)


def test_int8_is_chosen_only_where_it_is_faster_and_loses_no_more_than_allowed() -> None:
    assert wins(measured(1.5, 0.0), 0.003)
    assert wins(measured(1.5, -0.003), 0.003)
    assert not wins(measured(1.5, -0.004), 0.003)
    assert not wins(measured(0.9, 0.01), 0.003)


def test_int8_is_held_against_float_on_more_than_the_validation_part() -> None:
    learnt, kept = stripes(30, 1), stripes(12, 2)
    proof = proof_pictures(learnt, kept, Augment(orientation="fixed"), seed=3)
    assert len(proof.images) == len(proof.labels) == 12 + 2 * 30
    assert np.array_equal(proof.images[:12], kept.images)
    again = proof_pictures(learnt, kept, Augment(orientation="fixed"), seed=3)
    assert np.array_equal(proof.images, again.images)
    for label in range(3):  # the views show what their labels say
        band = slice(label * 16 // 3 + 1, label * 16 // 3 + 3)
        assert proof.images[12:][proof.labels[12:] == label][:, band].mean() > proof.images[12:].mean() + 20


def test_ranges_that_lose_too_much_are_tried_in_another_way(tmp_path: Path, trained: Network) -> None:
    float_path, int8_path = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    export(trained, float_path, facts(trained.spec), 1.0, stripes(3, 1).images)
    measured = prove_int8(float_path, int8_path, stripes(40, 1).images, stripes(60, 2), tolerance=-1.0)
    assert measured.pictures == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["float.onnx", "int8.onnx"]
    seen = side_by_side(float_path, int8_path, stripes(60, 2), rounds=3)
    assert seen.accuracy_change == measured.accuracy_change


def test_the_interval_of_a_paired_change() -> None:
    before = np.ones(400)
    after = before.copy()
    after[:20] = 0.0
    change = paired_change(before, after)
    assert change.value == pytest.approx(-0.05)
    assert change.low < -0.03 < -0.02 < 0.0
    assert -0.08 < change.low < change.value < change.high < 0.0
    assert paired_change(before, before).low == paired_change(before, before).high == 0.0


@pytest.mark.parametrize(("architecture", "side"), [("edge-m", 32), ("classic", 16)])
def test_channels_that_send_nothing_can_go_without_a_trace(architecture: str, side: int) -> None:
    network = shaken(NetworkSpec(architecture, 3, side, side, 1))
    with torch.no_grad():
        for pair in network.prunable():
            half = pair.producer.weight.shape[0] // 2
            pair.producer.weight[half:] = 0.0
            for module in (pair.producer, pair.norm):
                if module is not None and module.bias is not None:
                    module.bias[half:] = 0.0
            if pair.norm is not None:
                pair.norm.weight[half:] = 0.0
    smaller = prune(network, 0.5)
    assert parameter_count(smaller) < 0.75 * parameter_count(network)
    assert all(left % 8 == 0 for left in smaller.spec.inner)
    pixels = torch.rand(4, 1, side, side) * 255
    with torch.no_grad():
        assert torch.allclose(network(pixels), smaller(pixels), atol=1e-4)
    assert NetworkSpec.from_dict(smaller.spec.to_dict()) == smaller.spec
    graph_of(deployable(smaller, 1.0, False), (side, side, 1))


def test_a_student_learns_what_its_teacher_knows(trained: Network) -> None:
    part = stripes(96, 1)
    nonsense = Examples(part.images, np.random.default_rng(5).permutation(part.labels))
    spec = NetworkSpec("edge-s", 3, 16, 16, 1)
    options = TrainOptions(
        architecture="edge-s", epochs=8, batch=16, precision="float32", augment=NONE, teacher_share=1.0
    )
    student = train(spec, nonsense, stripes(30, 2), options, Hooks(teacher=NetworkTeacher(trained))).network
    fresh = stripes(60, 9)
    assert (logits_of(student, fresh.images).argmax(1).numpy() == fresh.labels).mean() > 0.9


def test_a_model_file_teaches_too_but_only_its_own_labels(tmp_path: Path, trained: Network) -> None:
    path = tmp_path / "teacher.onnx"
    part = stripes(30, 4)
    export(trained, path, facts(trained.spec), 1.0, part.images)
    labels = tuple(facts(trained.spec).labels)
    with pytest.raises(DataError, match="teacher"):
        FileTeacher(path, ("a", "b", "c"))
    teacher = FileTeacher(path, labels)
    try:
        pixels = torch.from_numpy(part.images).permute(0, 3, 1, 2).float()
        answers = teacher.logits(pixels).softmax(1).numpy()
        larger = teacher.logits(pixels.repeat_interleave(2, 2).repeat_interleave(2, 3).expand(-1, 3, -1, -1))
    finally:
        teacher.close()
    assert np.abs(answers - classify_with(path, part.images)[0]).max() < 1e-4
    assert (larger.argmax(1).numpy() == part.labels).mean() > 0.9


def test_options_are_refused_with_a_reason(trained: Network) -> None:
    refused: list[Callable[[], object]] = [
        lambda: prune(trained, 1.0),
        lambda: build(replace(trained.spec, architecture="resnet")),
        lambda: build(replace(trained.spec, architecture="classic", height=9)),
    ]
    for attempt in refused:
        with pytest.raises(DataError):
            attempt()
