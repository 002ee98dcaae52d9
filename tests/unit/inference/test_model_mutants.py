"""A model file that was changed by accident or on purpose gets in by no door, and no bytes end the reader."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from edgenode.errors import ModelError
from edgenode.inference.card import parse_card
from edgenode.inference.classifier import Classifier, ClassifierOptions
from edgenode.inference.onnx_file import file_sha256, parse_onnx
from edgenode.inference.store import ModelStore
from tests.faults.model_bytes import mutated
from tests.models import Tiny, make_card, make_model, model_bytes

MUTANTS = 400


def test_of_400_mutants_400_are_refused_and_the_last_good_one_stays(tmp_path: Path) -> None:
    """At the door (its hash is not the one that was asked for) and inside (its hash is not its name)."""
    good = make_model(tmp_path / "good.onnx")
    sha256, content = file_sha256(good), good.read_bytes()
    store = ModelStore(tmp_path / "state")
    stored = store.install(good)
    store.activate("tiny", sha256)
    rng = random.Random(20)
    incoming = tmp_path / "mutant.onnx"
    refused = 0
    for _ in range(MUTANTS):
        mutant = mutated(content, rng)
        assert mutant != content
        incoming.write_bytes(mutant)
        with pytest.raises(ModelError, match="not the file you meant"):
            store.install(incoming, sha256)
        stored.path.write_bytes(mutant)
        with pytest.raises(ModelError, match="damaged"):
            store.activate("tiny", sha256)
        stored.path.write_bytes(content)
        refused += 1
    assert refused == MUTANTS
    active = store.active("tiny")
    assert active is not None
    assert file_sha256(active.path) == sha256


@pytest.mark.parametrize("place", ["beside", "parent", "absolute", "symlink", "hardlink"])
def test_data_outside_the_file_is_refused_however_it_is_reached(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    model = onnx.load_from_string(model_bytes(Tiny()))
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    data = tmp_path / "weights.bin"
    data.write_bytes(weight.raw_data)
    location = {"parent": "../weights.bin", "absolute": str(data)}.get(place, "weights.bin")
    if place == "symlink":
        (folder / location).symlink_to(data)
    elif place == "hardlink":
        os.link(data, folder / location)
    elif place == "beside":
        (folder / location).write_bytes(data.read_bytes())
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="keeps data in other files"):
        ModelStore(tmp_path / "state").install(folder / "m.onnx")


@pytest.fixture(scope="module")
def good() -> bytes:
    return model_bytes(Tiny())


@given(data=st.binary(max_size=2000))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_model_or_a_reason(data: bytes) -> None:
    assert reason_of(lambda: parse_onnx(data, "m")).startswith("m: ")


@given(seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_any_mutant_loads_or_gives_a_reason(good: bytes, seed: int) -> None:
    data = mutated(good, random.Random(seed))
    options = ClassifierOptions(run_timeout_s=2.0)
    reason = reason_of(lambda: Classifier.load_bytes(data, "m", options).close())
    assert reason.startswith("m: ")
    assert "\n" not in reason


def reason_of(load: Callable[[], object]) -> str:
    """What `load` refuses its bytes with; "m: fine" where it does not."""
    try:
        load()
    except ModelError as error:
        return str(error)
    return "m: fine"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(key=st.sampled_from(sorted(make_card(Tiny()).model_dump())), value=_JSON)
@settings(max_examples=300, deadline=None)
def test_any_card_is_valid_or_a_reason(key: str, value: object) -> None:
    content = {**make_card(Tiny()).model_dump(mode="json"), key: value}
    reason = reason_of(lambda: parse_card(json.dumps(content), "m"))
    assert reason == "m: fine" or reason.startswith("m: the model card is not valid: ")


@given(text=st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_card_or_a_reason(text: str) -> None:
    with pytest.raises(ModelError, match="the model card is not valid"):
        parse_card(text, "m")
