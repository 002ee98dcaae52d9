"""Foreign ONNX files: what comes out answers as what went in."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgenode.errors import DataError, ModelError
from edgenode.inference.card import InputSpec
from edgenode.inference.classifier import Classifier, ClassifierOptions
from edgenode.records import F32, U8
from trainer.dataset import load_arrays, load_dataset
from trainer.import_model import ImportOptions, import_command, import_model, read_labels
from trainer.onnx_batch import NotProvenError, make_dynamic

ABC = ("a", "b", "c")


def classified(path: Path, images: U8) -> F32:
    with Classifier.load(path, ClassifierOptions(threads=2, run_timeout_s=60)) as classifier:
        return np.concatenate(
            [classifier.classify(images[i : i + 7]).probabilities for i in range(0, len(images), 7)]
        )


def alone(path: Path, inputs: NDArray[Any], output: int = 0) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([np.asarray(session.run(None, {name: row[None]})[output]) for row in inputs])


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def foreign(
    path: Path,
    *,
    nhwc: bool = False,
    batch: int | str = 1,
    channels: int = 3,
    classes: int = 3,
    opset: int = 13,
    names: tuple[str, str] = ("x", "y"),
    middle: list[onnx.NodeProto] | None = None,
    end: str = "",
) -> Path:
    """A 6×8 linear classifier: flatten, matrix, bias; `middle` nodes lead from `flat` to `mid`, `end` is an
    activation."""
    rng = np.random.default_rng(3)
    values = 6 * 8 * channels
    nodes = [helper.make_node("Flatten", [names[0]], ["flat"], axis=1)]
    nodes += middle or [helper.make_node("Identity", ["flat"], ["mid"])]
    nodes.append(helper.make_node("Gemm", ["mid", "w", "b"], ["logits"]))
    nodes.append(helper.make_node(end or "Identity", ["logits"], [names[1]]))
    weights = [
        numpy_helper.from_array((rng.normal(size=(values, classes)) / 8).astype(np.float32), "w"),
        numpy_helper.from_array(rng.normal(size=classes).astype(np.float32), "b"),
        numpy_helper.from_array(np.array([2, values // 2], dtype=np.int64), "halves"),
        numpy_helper.from_array(np.array([1, values], dtype=np.int64), "whole"),
    ]
    shape = [batch, 6, 8, channels] if nhwc else [batch, channels, 6, 8]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, [batch, classes])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    path.write_bytes(model.SerializeToString())
    return path


def pictures(count: int = 9, channels: int = 3) -> U8:
    return np.random.default_rng(5).integers(0, 256, (count, 6, 8, channels), dtype=np.uint8)


def test_mnist_by_cntk_keeps_its_accuracy(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "models" / "cntk_mnist"
    labels = read_labels(folder / "labels.txt")
    imported = import_model(
        folder / "mnist-8.onnx", tmp_path / "m.onnx", ImportOptions(labels, "mnist", scale=1.0)
    )
    assert "every operator keeps pictures apart" in imported.notes[-1]
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    with gzip.open(folder / "t10k-labels-idx1-ubyte.gz") as file:
        truth = np.frombuffer(file.read(), np.uint8, offset=8)
    few = images[::20]
    expected = softmax(alone(folder / "mnist-8.onnx", few.transpose(0, 3, 1, 2).astype(np.float32)))
    seen = classified(tmp_path / "m.onnx", few)
    assert np.abs(seen - expected).max() < 1e-4
    assert (seen.argmax(axis=1) == truth[::20]).mean() == pytest.approx(0.989, abs=0.01)


def test_cifar_by_keras_keeps_its_answers(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "models" / "keras_squeezenet_cifar10"
    labels = read_labels(folder / "labels.txt")
    source = folder / "squeezenet_cifar10.onnx"
    imported = import_model(source, tmp_path / "m.onnx", ImportOptions(labels, "squeezenet"))
    assert imported.card.training.origin == "tf2onnx 1.8.5"
    dataset = load_dataset(shared_data / "images" / "cifar10_jpeg_sample")
    arrays = load_arrays(dataset, imported.card.input)
    expected = alone(source, (arrays.images / 255).astype(np.float32))
    seen = classified(tmp_path / "m.onnx", arrays.images)
    assert np.abs(seen - expected).max() < 1e-4
    assert (seen.argmax(axis=1) == expected.argmax(axis=1)).all()
    assert (seen.argmax(axis=1) == arrays.labels).mean() == pytest.approx(
        0.71, abs=0.005
    )  # 75.4 % on all 10,000


def test_gtsrb_by_pytorch_keeps_its_answers(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "models" / "pytorch_gtsrb_cnn"
    labels = read_labels(folder / "labels.txt")
    imported = import_model(folder / "model.onnx", tmp_path / "m.onnx", ImportOptions(labels, "gtsrb"))
    dataset = load_dataset(shared_data / "images" / "gtsrb_sample")
    arrays = load_arrays(dataset, imported.card.input)
    inputs = (arrays.images / 255).astype(np.float32).transpose(0, 3, 1, 2)
    expected = softmax(alone(folder / "model.onnx", inputs))
    seen = classified(tmp_path / "m.onnx", arrays.images)
    assert np.abs(seen - expected).max() < 1e-4
    assert (seen.argmax(axis=1) == expected.argmax(axis=1)).all()
    assert (seen.argmax(axis=1) == arrays.labels).mean() == pytest.approx(
        0.707, abs=0.005
    )  # 78.9 % on all 12,630


@pytest.mark.parametrize("nhwc", [False, True])
@pytest.mark.parametrize("batch", [1, "many"])
def test_channels_mean_and_layout_are_in_the_graph(tmp_path: Path, nhwc: bool, batch: int | str) -> None:
    source = foreign(tmp_path / "f.onnx", nhwc=nhwc, batch=batch)
    options = ImportOptions(ABC, "m", color="bgr", mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    imported = import_model(source, tmp_path / "m.onnx", options)
    images = pictures()
    ready = ((images[..., ::-1] / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.4]).astype(np.float32)
    ready = ready if nhwc else ready.transpose(0, 3, 1, 2)
    expected = softmax(alone(source, np.ascontiguousarray(ready)))
    assert np.abs(classified(tmp_path / "m.onnx", images) - expected).max() < 1e-5
    assert imported.card.input == InputSpec(height=6, width=8)


def test_what_mixes_pictures_is_looped(tmp_path: Path) -> None:
    # the picture's two halves are sorted apart: a graph that cannot be freed
    middle = [
        helper.make_node("Reshape", ["flat", "halves"], ["two"]),
        helper.make_node("Softmax", ["two"], ["soft"], axis=0),
        helper.make_node("Reshape", ["soft", "whole"], ["mid"]),
    ]
    source = foreign(tmp_path / "f.onnx", middle=middle)
    with pytest.raises(NotProvenError, match="Reshape"):
        make_dynamic(onnx.load(source), "x")
    imported = import_model(source, tmp_path / "m.onnx", ImportOptions(ABC, "m"))
    assert "loop inside the graph (Reshape" in imported.notes[-1]
    images = pictures()
    expected = softmax(alone(source, (images / 255).astype(np.float32).transpose(0, 3, 1, 2)))
    assert np.abs(classified(tmp_path / "m.onnx", images) - expected).max() < 1e-5


def test_dynamic_batch_that_mixes_pictures_is_looped(tmp_path: Path) -> None:
    middle = [
        helper.make_node("ReduceMax", ["flat"], ["largest"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["flat", "largest"], ["less"]),
        helper.make_node("Abs", ["less"], ["mid"]),
    ]
    source = foreign(tmp_path / "f.onnx", batch="n", middle=middle)
    imported = import_model(source, tmp_path / "m.onnx", ImportOptions(ABC, "m"))
    assert "loop" in imported.notes[-1]
    images = pictures()
    expected = softmax(alone(source, (images / 255).astype(np.float32).transpose(0, 3, 1, 2)))
    assert np.abs(classified(tmp_path / "m.onnx", images) - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("node", "proven"),
    [
        (helper.make_node("Reshape", ["flat", "whole"], ["mid"]), True),
        (helper.make_node("Softmax", ["flat"], ["mid"], axis=1), True),
        (helper.make_node("Softmax", ["flat"], ["mid"], axis=0), False),
        (helper.make_node("Concat", ["flat"], ["mid"], axis=0), False),
        (helper.make_node("Add", ["flat", "w0"], ["mid"]), False),
        (helper.make_node("CumSum", ["flat", "zero"], ["mid"]), False),
    ],
    ids=["reshape", "softmax", "softmax over the batch", "concat", "unknown", "cumsum"],
)
def test_only_what_is_proven_is_freed(tmp_path: Path, node: onnx.NodeProto, proven: bool) -> None:
    model = onnx.load(foreign(tmp_path / "f.onnx", middle=[node]))
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.zeros((2, 1), dtype=np.float32), "w0"),
            numpy_helper.from_array(np.array(0, dtype=np.int64), "zero"),
        ]
    )
    before = model.SerializeToString()
    if proven:
        make_dynamic(model, "x")
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    else:
        with pytest.raises(NotProvenError):
            make_dynamic(model, "x")
        assert model.SerializeToString() == before


def test_shape_computed_in_the_graph_is_replaced(tmp_path: Path) -> None:
    middle = [
        helper.make_node("Shape", ["flat"], ["shape"]),
        helper.make_node("Reshape", ["flat", "shape"], ["mid"]),
    ]
    source = foreign(tmp_path / "f.onnx", middle=middle)
    imported = import_model(source, tmp_path / "m.onnx", ImportOptions(ABC, "m"))
    assert "freed" in imported.notes[-1]
    assert "Shape" not in {node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node}


def test_one_sigmoid_for_two_labels(tmp_path: Path) -> None:
    source = foreign(tmp_path / "f.onnx", classes=1, end="Sigmoid")
    import_model(source, tmp_path / "m.onnx", ImportOptions(("no", "yes"), "m"))
    images = pictures()
    expected = alone(source, (images / 255).astype(np.float32).transpose(0, 3, 1, 2))[:, 0]
    seen = classified(tmp_path / "m.onnx", images)
    assert seen[:, 1] == pytest.approx(expected, abs=1e-5)
    assert seen.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("end", ["Sigmoid", ""])
def test_several_labels_a_picture(tmp_path: Path, end: str) -> None:
    source = foreign(tmp_path / "f.onnx", end=end)
    options = ImportOptions(ABC, "m", multi_label=True)
    assert import_model(source, tmp_path / "m.onnx", options).card.task == "multi_label"
    images = pictures()
    raw = alone(source, (images / 255).astype(np.float32).transpose(0, 3, 1, 2))
    expected = raw if end else 1 / (1 + np.exp(-raw))
    assert np.abs(classified(tmp_path / "m.onnx", images) - expected).max() < 1e-5


def test_sigmoids_without_being_told_are_asked_about(tmp_path: Path) -> None:
    source = foreign(tmp_path / "f.onnx", end="Sigmoid")
    with pytest.raises(DataError, match="--multi-label"):
        import_model(source, tmp_path / "m.onnx", ImportOptions(ABC, "m"))
    assert not (tmp_path / "m.onnx").exists()


def test_names_like_ours_are_no_trouble(tmp_path: Path) -> None:
    source = foreign(tmp_path / "f.onnx", names=("probabilities", "images"))
    import_model(source, tmp_path / "m.onnx", ImportOptions(ABC, "m"))
    assert classified(tmp_path / "m.onnx", pictures()).shape == (9, 3)


def test_weights_in_a_file_beside_are_taken_in(tmp_path: Path) -> None:
    source = foreign(tmp_path / "f.onnx")
    outside = tmp_path / "outside.onnx"
    onnx.save_model(
        onnx.load(source), str(outside), save_as_external_data=True, location="weights.bin", size_threshold=0,
        convert_attribute=False,
    )  # fmt: skip
    import_model(source, tmp_path / "one.onnx", ImportOptions(ABC, "m"))
    import_model(outside, tmp_path / "two.onnx", ImportOptions(ABC, "m"))
    images = pictures()
    assert np.array_equal(
        classified(tmp_path / "one.onnx", images), classified(tmp_path / "two.onnx", images)
    )
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match="another file"):
        import_model(outside, tmp_path / "three.onnx", ImportOptions(ABC, "m"))


def test_old_operator_set_is_lifted(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w", "b"], ["y"], broadcast=1),
    ]
    weights = [
        numpy_helper.from_array(rng.normal(size=(48, 3)).astype(np.float32), "w"),
        numpy_helper.from_array(rng.normal(size=3).astype(np.float32), "b"),
    ]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 6, 8])]
    ports += [helper.make_tensor_value_info(w.name, TensorProto.FLOAT, w.dims) for w in weights]
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])]
    graph = helper.make_graph(nodes, "old", ports, out, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 6)], ir_version=3)
    (tmp_path / "f.onnx").write_bytes(model.SerializeToString())
    imported = import_model(tmp_path / "f.onnx", tmp_path / "m.onnx", ImportOptions(ABC, "m"))
    assert imported.notes[0] == "converted from operator set 6 to 13"
    images = pictures(channels=1)
    flat = images.reshape(9, -1) / 255
    expected = softmax(flat @ numpy_helper.to_array(weights[0]) + numpy_helper.to_array(weights[1]))
    assert np.abs(classified(tmp_path / "m.onnx", images) - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("change", "options", "word"),
    [
        ({"batch": 4}, {}, "exactly 4 pictures"),
        ({"classes": 5}, {}, "no output has 3 values"),
        ({}, {"size": (7, 8)}, "leave out --size"),
        ({}, {"color": "grey"}, "3 channels, not 1"),
        ({}, {"mean": (0.1, 0.2)}, "--mean has 2 values"),
        ({}, {"std": (0.0,)}, "above 0"),
        ({}, {"name": "Not A Name"}, "the card is refused"),
    ],
)
def test_what_does_not_fit_is_said(
    tmp_path: Path, change: dict[str, Any], options: dict[str, Any], word: str
) -> None:
    source = foreign(tmp_path / "f.onnx", **change)
    with pytest.raises(DataError, match=word):
        import_model(source, tmp_path / "m.onnx", ImportOptions(**({"labels": ABC, "name": "m"} | options)))
    assert not (tmp_path / "m.onnx").exists()


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "f.onnx").write_bytes(b"not a model at all")
    for name in ("f.onnx", "nowhere.onnx"):
        with pytest.raises(ModelError, match=name):
            import_model(tmp_path / name, tmp_path / "m.onnx", ImportOptions(ABC, "m"))


def test_command(tmp_path: Path) -> None:
    foreign(tmp_path / "f.onnx")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    arguments = [
        "f.onnx",
        "--labels",
        "labels.txt",
        "--out",
        "My-Model.onnx",
        "--mean",
        "0.1,0.2,0.3",
        "--size",
        "6x8",
    ]
    arguments = [str(tmp_path / a) if a.endswith((".onnx", ".txt")) else a for a in arguments]
    result = CliRunner().invoke(import_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "my_model, 3 labels, 6×8 rgb" in result.output
