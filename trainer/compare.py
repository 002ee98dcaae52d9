"""Whether a new model may replace the one that serves: a paired test on the same pictures."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
from numpy.typing import NDArray

from edgenode.errors import DataError, ModelError
from edgenode.inference.card import COMPARED_VERSION, METADATA_KEY, Interval
from edgenode.inference.card import Comparison as ComparisonCard
from edgenode.inference.classifier import Classifier
from trainer.dataset import load_dataset
from trainer.decided import answer_text
from trainer.evaluate import Answers, Choice, answers_of, chosen_part, learnt_note
from trainer.manifest import manifest_sha256
from trainer.terminal import progress_bar

Verdict = Literal["better", "equal", "worse"]
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Comparison:
    """B against A. A picture is right when every decision on it is."""

    verdict: Verdict
    reason: str
    samples: int
    accuracy_a: float
    accuracy_b: float
    difference: Interval
    """Accuracy of B minus that of A, with the paired 95 % interval."""
    p_value: float
    """McNemar's exact test: the chance of so uneven a split of the pictures on which one alone is right."""
    only_a_right: int
    only_b_right: int
    margin: float


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact p-value: min(1, 2 · P(X ≤ min)) for X binomial over the discordant pictures with 1/2
    (Q. McNemar, Psychometrika 12, 1947)."""
    total = only_a + only_b
    if total == 0:
        return 1.0
    tail = sum(math.comb(total, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, float(2 * tail / 2**total))


def compare(
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    margin: float = 0.005,
    bootstrap: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Is B better, equal or worse than A, given on which of the same pictures each is right?

    equal: the whole interval of the difference lies within ±margin, or the data cannot tell (the reason
    says which). Otherwise better or worse, where McNemar's p is under 0.05. The interval is the paired
    percentile bootstrap; where the two disagree on no picture it is ±3/N, the rule of three. Raises
    DataError on nothing to compare.
    """
    if right_a.shape != right_b.shape or not right_a.size:
        raise DataError("two models are compared on the same pictures, at least one")
    total = len(right_a)
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    difference = (only_b - only_a) / total
    if only_a + only_b:
        shares = np.array([only_a, only_b, total - only_a - only_b]) / total
        drawn = np.random.default_rng(seed).multinomial(total, shares, size=bootstrap)
        low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / total, (0.025, 0.975))
    else:
        low, high = -min(1.0, 3 / total), min(1.0, 3 / total)
    p_value = mcnemar(only_a, only_b)
    verdict, reason = _judge(difference, float(low), float(high), p_value, margin)
    return Comparison(
        verdict=verdict,
        reason=reason,
        samples=total,
        accuracy_a=float(right_a.mean()),
        accuracy_b=float(right_b.mean()),
        difference=Interval(value=difference, low=float(low), high=float(high)),
        p_value=p_value,
        only_a_right=only_a,
        only_b_right=only_b,
        margin=margin,
    )


def right(answers: Answers) -> NDArray[np.bool_]:
    """bool [N]: on which pictures the model is right throughout."""
    if answers.labels.ndim == 1:
        return np.asarray(answers.probabilities.argmax(axis=1) == answers.labels)
    return np.asarray(((answers.probabilities >= 0.5) == (answers.labels > 0.5)).all(axis=1))


def _judge(difference: float, low: float, high: float, p: float, margin: float) -> tuple[Verdict, str]:
    if -margin <= low and high <= margin:
        return "equal", f"the difference lies within ±{margin:.2%}"
    if p < 0.05:
        word: Verdict = "better" if difference > 0 else "worse"
        return (
            word,
            f"B gets {abs(difference):.2%} {'more' if difference > 0 else 'fewer'} right, p = {p:.2g}",
        )
    return "equal", (
        f"no difference shown (p = {p:.2g}), but these pictures cannot exclude {low:+.2%} to {high:+.2%}; "
        "more pictures would tell"
    )


def comparison_json(a: Answers, b: Answers, result: Comparison) -> dict[str, Any]:
    """The comparison as a JSON object, with the pictures that B loses and wins, most confident first."""
    right_a, right_b = right(a), right(b)

    def pictures(which: NDArray[np.bool_]) -> list[dict[str, Any]]:
        indices = sorted(np.nonzero(which)[0], key=lambda i: -float(b.probabilities[i].max()))[:_SHOWN]
        return [
            {
                "path": b.dataset.name_of(b.dataset.pictures[i]),
                "label": b.dataset.label_text(b.dataset.pictures[i]),
                "a": answer_text(a.card, a.probabilities[i]),
                "b": answer_text(b.card, b.probabilities[i]),
            }
            for i in indices
        ]

    return {
        "verdict": result.verdict,
        "reason": result.reason,
        "samples": result.samples,
        "a": {"name": a.identity.name, "sha256": a.identity.sha256, "accuracy": result.accuracy_a},
        "b": {"name": b.identity.name, "sha256": b.identity.sha256, "accuracy": result.accuracy_b},
        "difference": result.difference.model_dump(),
        "margin": result.margin,
        "mcnemar_p": result.p_value,
        "only_a_right": result.only_a_right,
        "only_b_right": result.only_b_right,
        "lost": pictures(right_a & ~right_b),
        "won": pictures(~right_a & right_b),
    }


def comparison_card(a: Answers, b: Answers, result: Comparison) -> ComparisonCard:
    """The comparison as a node wants to see it in B's card."""
    return ComparisonCard(
        against_sha256=a.identity.sha256,
        verdict=result.verdict,
        samples=result.samples,
        test_set_sha256=manifest_sha256(b.dataset),
        accuracy_before=result.accuracy_a,
        accuracy_now=result.accuracy_b,
        difference=result.difference,
        p_value=result.p_value,
        compared_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def attest_model(model: Path, out: Path, comparison: ComparisonCard) -> None:
    """Write `model` with `comparison` in its card to `out`, atomically. A signature is left out: it would be about
    other bytes. Raises ModelError."""
    import onnx

    from trainer.files import write_file
    from trainer.onnx_graph import card_of

    graph = onnx.load(str(model))
    card = card_of(graph, str(model))
    if card is None:
        raise ModelError(f"{model}: has no model card; import it first")
    told = card.model_copy(update={"comparison": comparison, "card_version": COMPARED_VERSION})
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, {METADATA_KEY: told.to_json()})
    content = graph.SerializeToString(deterministic=True)
    write_file(out, content)
    Classifier.load(out).close()


@click.command("compare")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--margin", default=0.5, show_default=True, help="Points of accuracy that do not matter.")
@click.option("--part", type=click.Choice(["auto", "all", "train", "val", "test"]), default="auto",
              help="Of data that comes in parts. auto: test, else val, else all.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@click.option("--attest", type=click.Path(path_type=Path, dir_okay=False),
              help="Write B with the result in its card to this file; not where it is worse.")  # fmt: skip
@click.pass_context
def compare_command(
    context: click.Context,
    a: Path,
    b: Path,
    data: Path,
    margin: float,
    part: Choice,
    as_json: bool,
    attest: Path | None,
) -> None:
    """Say whether model B is better, equal or worse than model A on DATA. Exits with 1 when it is worse."""
    with progress_bar("reading", quiet=as_json) as progress:
        whole = load_dataset(data, progress)
    dataset = chosen_part(whole, part)
    of_a, of_b = answers_of(a, dataset), answers_of(b, dataset)
    for name, answers in (("A", of_a), ("B", of_b)):
        note = learnt_note(answers.card, whole, dataset)
        if note:
            click.echo(f"note: {name}: {note}", err=True)
    result = compare(right(of_a), right(of_b), margin / 100)
    if as_json:
        click.echo(json.dumps(comparison_json(of_a, of_b, result), indent=2, ensure_ascii=False))
    else:
        click.echo(f"{result.verdict}: {result.reason}")
        click.echo(
            f"A {result.accuracy_a:.2%}, B {result.accuracy_b:.2%}, "
            f"difference {result.difference.value:+.2%} "
            f"({result.difference.low:+.2%} to {result.difference.high:+.2%}) on {result.samples} pictures; "
            f"only A right {result.only_a_right}, only B right {result.only_b_right}"
        )
    if attest is not None and result.verdict != "worse":
        attest_model(b, attest, comparison_card(of_a, of_b, result))
        click.echo(f"{attest}: {b} with this comparison in its card", err=True)
    context.exit(1 if result.verdict == "worse" else 0)
