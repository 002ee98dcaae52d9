"""Comparisons in rules: states with labels, numbers with numbers; each kind with what fits it."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edgenode.records import INVALID, UNKNOWN

from .facts import Fact, nearest
from .terms import LIST, NUMBER, STATE, TEXT, TRUTH, WRONG, Term

if TYPE_CHECKING:
    from .expression import Reader

_ORDER: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: lambda left, right: left < right or left > right,
}
"""`!=` so that NaN differs from nothing."""


def comparison(reader: Reader, node: ast.Compare) -> Term:
    """A comparison, chained or not; every mistake in it goes to the reader."""
    nodes: list[ast.expr] = [node.left, *node.comparators]
    terms = [reader.term(each) for each in nodes]
    links = [
        _link(reader, op, (terms[i], nodes[i]), (terms[i + 1], nodes[i + 1])) for i, op in enumerate(node.ops)
    ]
    if len(links) == 1:
        return Term(TRUTH, links[0])
    return Term(TRUTH, lambda: all(link() for link in links))


def _link(
    reader: Reader, op: ast.cmpop, left: tuple[Term, ast.expr], right: tuple[Term, ast.expr]
) -> Callable[[], bool]:
    (one, one_node), (two, two_node) = left, right
    false: Callable[[], bool] = lambda: False  # noqa: E731 - stands for what is reported as a mistake
    if WRONG in (one.kind, two.kind):
        return false
    if isinstance(op, ast.In | ast.NotIn):
        if one.fact is None:
            reader.wrong(one_node, f"the left side of in must be a region, this is {one.kind}")
        elif two.kind != LIST:
            reader.wrong(
                two_node,
                f'the right side of in must be a list of labels, such as ["a", "b"], this is {two.kind}',
            )
        else:
            return _state_in(reader, one.fact, two, two_node, isinstance(op, ast.NotIn))
        return false
    compare = _ORDER.get(type(op))
    if compare is None:
        reader.wrong(one_node, "compare with == or !=, is cannot stand in a rule")
        return false
    equality = isinstance(op, ast.Eq | ast.NotEq)
    if equality and one.kind == TEXT and two.fact is not None:
        one, two, two_node = two, one, one_node
    if equality and one.fact is not None and two.kind == TEXT:
        return _state_is(reader, one.fact, two.value, two_node, isinstance(op, ast.NotEq))
    if equality and one.fact is not None and two.fact is not None:
        mine, other = one.fact, two.fact
        if isinstance(op, ast.Eq):
            return lambda: mine.label == other.label
        return lambda: mine.label != other.label
    first, second = one.run, two.run
    if one.kind == two.kind and (one.kind == NUMBER or (equality and one.kind == TRUTH)):
        run: Callable[[], bool] = lambda: compare(first(), second())  # noqa: E731
        about = one.about or two.about
        if about is not None:
            reader.used.atoms.append((about, run))
        return run
    if STATE in (one.kind, two.kind) and not equality:
        reader.wrong(one_node, "a region's state has no order: compare it with == , != or in")
    else:
        reader.wrong(two_node, f"{one.kind} cannot be compared with {two.kind}")
    return false


def check_label(reader: Reader, fact: Fact, label: str, node: ast.AST) -> bool:
    """Whether a region may be compared with `label`; reports it otherwise."""
    labels = reader.world.labels_of((fact.camera, fact.region))
    if labels is None or label in labels or label in (UNKNOWN, INVALID):
        return True
    shown = ", ".join(labels[:12]) + (f" and {len(labels) - 12} more" if len(labels) > 12 else "")
    hint = nearest(label, [*labels, UNKNOWN, INVALID])
    reader.wrong(node, f'{fact.name} has no label "{label}"{hint} (it has: {shown}, unknown, invalid)')
    return False


def _state_is(reader: Reader, fact: Fact, label: str, node: ast.AST, negated: bool) -> Callable[[], bool]:
    check_label(reader, fact, label, node)
    reader.used.named.append((fact, label))
    known = reader.world.inventory.regions[fact.camera, fact.region]
    run: Callable[[], bool]
    if known is not None and not known.multi_label:
        run = (lambda: fact.label != label) if negated else (lambda: fact.label == label)
    else:
        run = (lambda: not fact.has(label)) if negated else (lambda: fact.has(label))
    reader.used.atoms.append((fact, run))
    return run


def _state_in(reader: Reader, fact: Fact, labels: Term, node: ast.expr, negated: bool) -> Callable[[], bool]:
    wanted: Sequence[str] = tuple(labels.value)
    elements = node.elts if isinstance(node, ast.List | ast.Tuple) else []
    for label, element in zip(wanted, elements, strict=False):
        check_label(reader, fact, label, element)
    if not wanted:
        reader.wrong(node, "the list of labels is empty")
    reader.used.named.extend((fact, label) for label in wanted)
    run: Callable[[], bool] = lambda: any(fact.has(label) for label in wanted) != negated  # noqa: E731
    reader.used.atoms.append((fact, run))
    return run
