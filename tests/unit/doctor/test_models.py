"""The doctor judges models as the node would."""

from __future__ import annotations

from pathlib import Path

from edgenode.doctor.finding import Level
from edgenode.doctor.models import examine_models
from edgenode.settings import Settings
from tests.models import make_model


def test_a_model_without_its_provider_is_measured_as_the_node_would_run_it(tmp_path: Path) -> None:
    make_model(tmp_path / "parts.onnx")
    document = {
        "models": {"parts": {"file": "parts.onnx"}},
        "node": {"state_dir": str(tmp_path / "state")},
        "inference": {"provider": "tensorrt"},
    }
    (found,), cost_s = examine_models(Settings.model_validate(document), tmp_path)
    assert found.level is Level.WARNING
    assert "on the processor, as the node would run it" in found.text
    assert "tensorrt" in found.advice
    assert found.facts["provider"] == "cpu"
    assert cost_s["parts"] > 0.0


def test_a_model_that_the_node_would_refuse_for_want_of_a_signature_is_a_problem(tmp_path: Path) -> None:
    make_model(tmp_path / "parts.onnx")
    document = {"models": {"parts": {"file": "parts.onnx"}}, "node": {"state_dir": str(tmp_path / "state")}}
    (good,), cost_s = examine_models(Settings.model_validate(document), tmp_path)
    assert good.level is Level.OK
    assert cost_s["parts"] > 0.0
    strict = Settings.model_validate({**document, "rollout": {"require_signature": True}})
    (refused,), cost_s = examine_models(strict, tmp_path)
    assert refused.level is Level.PROBLEM
    assert "sign" in refused.text
    assert not cost_s
