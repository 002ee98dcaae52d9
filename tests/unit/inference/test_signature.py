"""Who signed a model: the last entry of its metadata, about every byte before it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.commands.model import model_group
from edgenode.errors import ModelError
from edgenode.inference.classifier import Classifier, ClassifierOptions
from edgenode.inference.onnx_file import parse_onnx
from edgenode.inference.signature import (
    SIGNATURE_KEY,
    Trust,
    new_key,
    private_key,
    sign_file,
    signature_of,
    signed,
    trusted,
)
from tests.models import Tiny, make_model, model_bytes


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    made = {}
    for name in ("plant", "stranger"):
        made[name] = tmp_path / f"{name}.key"
        new_key(made[name], tmp_path / f"{name}.pub")
    return made


@pytest.fixture
def trust(keys: dict[str, Path]) -> Trust:
    return trusted([keys["plant"].with_suffix(".pub")], required=True)


def test_a_signed_model_serves_and_all_others_are_refused_with_the_reason(
    tmp_path: Path, keys: dict[str, Path], trust: Trust
) -> None:
    model = make_model(tmp_path / "m.onnx")
    options = ClassifierOptions(trust=trust)
    with pytest.raises(ModelError, match=r"is not signed, and rollout.require_signature is set"):
        Classifier.load(model, options)
    done = sign_file(model, keys["plant"], tmp_path / "signed.onnx")
    with Classifier.load(tmp_path / "signed.onnx", options) as classifier:
        assert classifier.identity.sha256 == done.sha256
    sign_file(model, keys["stranger"], tmp_path / "strange.onnx")
    with pytest.raises(ModelError, match=r"is signed by key [0-9a-f]{16}, which is none of"):
        Classifier.load(tmp_path / "strange.onnx", options)


def test_where_no_signature_is_needed_a_wrong_one_by_a_trusted_key_is_still_refused(
    tmp_path: Path, keys: dict[str, Path]
) -> None:
    lenient = trusted([keys["plant"].with_suffix(".pub")], required=False)
    plain = model_bytes(Tiny())
    assert lenient.check(plain, "m") is None
    assert lenient.check(signed(plain, private_key(keys["stranger"]), "m"), "m") is None
    good = bytearray(signed(plain, private_key(keys["plant"]), "m"))
    assert lenient.check(bytes(good), "m") is not None
    good[200] ^= 1
    with pytest.raises(ModelError, match="does not fit its bytes"):
        lenient.check(bytes(good), "m")


def test_signing_again_takes_the_place_of_the_signature_before(keys: dict[str, Path], trust: Trust) -> None:
    plain = model_bytes(Tiny())
    once = signed(plain, private_key(keys["stranger"]), "m")
    twice = signed(once, private_key(keys["plant"]), "m")
    assert twice == signed(plain, private_key(keys["plant"]), "m")
    assert trust.check(twice, "m") is not None
    assert [key for key, _ in parse_onnx(twice, "m").metadata].count(SIGNATURE_KEY) == 1


def test_nothing_can_be_appended_behind_a_signature(keys: dict[str, Path], trust: Trust) -> None:
    good = signed(model_bytes(Tiny()), private_key(keys["plant"]), "m")
    for more in (good, b"\x12\x01x", model_bytes(Tiny(version="9"))):
        with pytest.raises(ModelError, match=r"behind its signature|two signatures"):
            trust.check(good + more, "m")
    trailer = good[signature_of(good, "m").signed_bytes :]  # type: ignore[union-attr]
    with pytest.raises(ModelError, match="does not fit"):
        trust.check(model_bytes(Tiny(version="9")) + trailer, "m")


def test_no_changed_byte_passes(tmp_path: Path, keys: dict[str, Path], trust: Trust) -> None:
    good = signed(model_bytes(Tiny()), private_key(keys["plant"]), "m")

    beginning = len(good) - 260  # the signature itself, and what it stands in

    @given(
        position=st.integers(0, len(good) - 1) | st.integers(beginning, len(good) - 1),
        change=st.integers(1, 255),
    )
    @settings(max_examples=500, deadline=None)
    def check(position: int, change: int) -> None:
        changed = bytearray(good)
        changed[position] ^= change
        with pytest.raises(ModelError):
            trust.check(bytes(changed), "m")

    check()


@pytest.mark.parametrize("text", [b"", b"-----BEGIN PUBLIC KEY-----\n", b"\xff" * 99])
def test_a_file_that_holds_no_key_is_named(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "plant.pub").write_bytes(text)
    with pytest.raises(ModelError, match=r"plant\.pub"):
        trusted([tmp_path / "plant.pub"], required=True)
    with pytest.raises(ModelError, match=r"plant\.pub"):
        private_key(tmp_path / "plant.pub")
    with pytest.raises(ModelError, match="trusted_keys"):
        trusted([], required=True)


def test_the_commands_make_keys_sign_and_verify(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(model_group, list(arguments))
        return result.exit_code, result.output

    key, model = str(tmp_path / "k"), str(make_model(tmp_path / "m.onnx"))
    assert run("keygen", key)[0] == 0
    assert (tmp_path / "k").stat().st_mode & 0o077 == 0
    assert run("keygen", key)[0] == 1, "a key is never overwritten"
    assert run("verify", model, "--key", f"{key}.pub")[0] == 1
    assert run("sign", model, "--key", key)[0] == 0
    code, said = run("verify", model, "--key", f"{key}.pub")
    assert (code, "signed by key" in said) == (0, True)
