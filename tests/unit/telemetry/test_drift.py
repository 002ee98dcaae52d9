"""Drift of confidence and of the embedding: near zero where nothing changed, over the limit where much did."""

from __future__ import annotations

import numpy as np
import pytest

from edgenode.inference.card import DriftReference, EmbeddingReference, directions, embedding_reference
from edgenode.records import F32
from edgenode.telemetry.drift import PSI_MIN_SAMPLES, DriftMonitor, EmbeddingMonitor, ModelDrift, psi
from trainer.fit import EMBEDDINGS_NEEDED, drift_reference

DIMENSION = 32
LIMIT = 0.25


def cloud(seed: int, count: int, shift: float = 0.0, scale: float = 1.0) -> F32:
    """Embeddings as a network's last layer has them: correlated, not normal, all positive."""
    mix = np.random.default_rng(0).normal(size=(DIMENSION, DIMENSION))
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSION)) @ mix
    return np.maximum(0.0, scale * drawn + shift).astype(np.float32)


def index(reference: EmbeddingReference, seen: F32) -> float:
    monitor = EmbeddingMonitor(reference)
    for embedding in seen:
        monitor.add(embedding)
    assert monitor.psi is not None
    return monitor.psi


@pytest.mark.parametrize("seed", range(5))
def test_what_looks_as_at_the_validation_stays_under_the_limit(seed: int) -> None:
    reference = embedding_reference(cloud(100 + seed, 600))
    assert index(reference, cloud(seed, 400)) < 0.5 * LIMIT


@pytest.mark.parametrize(("shift", "scale"), [(5.0, 1.0), (0.0, 2.0), (0.0, 0.4), (-6.0, 1.0)])
def test_a_cloud_that_moved_or_grew_is_over_the_limit(shift: float, scale: float) -> None:
    reference = embedding_reference(cloud(100, 600))
    assert index(reference, cloud(1, 400, shift, scale)) > LIMIT


def test_with_few_samples_nothing_is_said() -> None:
    monitor = EmbeddingMonitor(embedding_reference(cloud(1, 300)))
    for embedding in cloud(2, PSI_MIN_SAMPLES - 1):
        monitor.add(embedding)
    assert monitor.psi is None
    monitor.add(cloud(3, 1)[0])
    assert monitor.psi is not None
    monitor.add(np.zeros(DIMENSION + 1, np.float32))  # of another model: counts for nothing
    assert monitor.psi is not None


def test_the_directions_are_the_same_everywhere() -> None:
    rows = directions(8, DIMENSION)
    assert rows.shape == (8, DIMENSION)
    np.testing.assert_allclose((rows**2).sum(axis=1), 1.0, rtol=1e-5)
    assert (rows[:2, :8] > 0).astype(int).tolist() == [[1, 1, 1, 1, 1, 0, 0, 1], [0, 1, 1, 1, 0, 0, 1, 1]]
    assert abs(float((rows > 0).mean()) - 0.5) < 0.1


def test_a_reference_survives_the_card_and_is_left_out_for_few_pictures() -> None:
    answers = np.tile(np.array([[0.9, 0.1]], np.float32), (EMBEDDINGS_NEEDED, 1))
    reference = drift_reference(answers, cloud(1, EMBEDDINGS_NEEDED))
    assert reference.embedding is not None
    assert len(reference.embedding.edges) == 8
    assert DriftReference.model_validate_json(reference.model_dump_json()) == reference
    assert drift_reference(answers[:-1], cloud(1, EMBEDDINGS_NEEDED - 1)).embedding is None
    assert drift_reference(answers, None).embedding is None


def test_a_model_tells_both_indices_and_the_worse_one() -> None:
    reference = embedding_reference(cloud(1, 400))
    drift = ModelDrift("0" * 64, [0.0, 1.0], reference)
    for embedding in cloud(2, 300):
        drift.add(0.1, embedding)
    reading = drift.reading()
    assert reading.confidence is not None
    assert reading.embedding is not None
    assert reading.worst == reading.confidence > 1.0 > reading.embedding
    assert ModelDrift("0" * 64, [], None).reading().worst is None


def test_psi_is_zero_for_the_reference_itself_and_grows_with_the_shift() -> None:
    reference = [0.05, 0.15, 0.3, 0.5]
    assert psi(reference, reference) == 0
    # By hand: (0.1-0.2)·ln(0.1/0.2) + (0.9-0.8)·ln(0.9/0.8)
    assert psi([0.2, 0.8], [0.1, 0.9]) == pytest.approx(0.081093, abs=1e-6)
    assert psi(reference, reference[::-1]) > 0.25


def test_drift_is_unknown_until_enough_samples_were_seen() -> None:
    monitor = DriftMonitor([0.0, 0.0, 0.5, 0.5], window=400)
    for n in range(PSI_MIN_SAMPLES - 1):
        monitor.add(0.6 if n % 2 else 0.9)
    assert [monitor.psi] == [None]
    monitor.add(0.6)
    steady = monitor.psi
    assert steady == pytest.approx(0.0, abs=0.01)
    for _ in range(400):
        monitor.add(0.1)
    shifted = monitor.psi or 0.0
    assert shifted > 1.0
