"""The language of rules: Python's expression syntax, a whitelist of its nodes, types checked before anything runs.

    line_1.belt == "defect"                              a region's decided label
    signal == "red" and stop_line in ["car", "truck"]    short names, where only one camera has such a region
    probability(line_1.belt, "defect") > 0.9             numbers, + - * /, chained comparisons
    not rule.maintenance and count(gate == "person", window = "1m") > 3

Kinds of values: a region's state, a number, a truth, a text. A rule must be a truth. Comparing a state needs one
of the model's own labels, or `unknown` or `invalid`. `!=` and `not` are plain logic: `belt != "ok"` also holds
while the belt is unknown or invalid; name the label that is meant where that matters.

A number that cannot be known (a probability while the region is invalid, x / 0) is NaN, and every comparison with
it is false.

Nothing is evaluated by Python: the tree is turned into closures bound to the facts.
"""

from __future__ import annotations

import ast
import keyword
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any

from edgenode.errors import RuleError
from edgenode.records import INVALID, UNKNOWN

from .facts import Fact, RegionKey, World, nearest
from .instruments import Instrument

LONGEST = 4000
"""Characters of one expression."""

STATE, NUMBER, TRUTH, TEXT, LIST, WRONG = (
    "a region's state",
    "a number",
    "a truth",
    "a text",
    "a list",
    "wrong",
)

_ORDER: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: lambda left, right: left < right or left > right,
}
"""`!=` so that NaN differs from nothing."""
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda left, right: left / right if right else nan,
}


@dataclass(slots=True)
class Term:
    """A checked part of an expression. `fact` belongs to states, `value` to constants."""

    kind: str
    run: Callable[[], Any]
    fact: Fact | None = None
    value: Any = None


@dataclass(slots=True)
class Used:
    """What an expression depends on, in the order of naming."""

    facts: list[Fact] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    instruments: list[Instrument] = field(default_factory=list)
    atoms: list[tuple[Fact, Callable[[], bool]]] = field(default_factory=list)
    """Comparisons of one region's state, to tell which region made a condition hold."""
    named: list[tuple[Fact, str]] = field(default_factory=list)
    """The labels that states are compared with."""
    counted: list[tuple[Fact, str]] = field(default_factory=list)
    """The same inside functions that count: what an event of a counting rule is about."""
    scored: bool = False
    """Whether probabilities matter, not labels alone."""
    timed: bool = False
    """Whether the value may change with nothing observed."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A condition bound to a world's facts. `holds()` tells whether it is true now."""

    text: str
    holds: Callable[[], bool]
    used: Used

    @property
    def regions(self) -> tuple[RegionKey, ...]:
        return tuple((fact.camera, fact.region) for fact in self.used.facts)


def named_rules(text: str) -> list[str]:
    """The rules that `text` names as rule.NAME, even if something else in it is wrong."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "rule"
    ]


def compile_condition(text: str, world: World) -> tuple[Compiled | None, list[RuleError]]:
    """The condition in `text`, or every mistake in it (in the order of the text), each with its column."""
    reader = Reader(text, world)
    tree = reader.parse()
    if tree is None:
        return None, reader.mistakes
    try:
        term = reader.term(tree)
        reader.expect(term, TRUTH, tree, "the rule")
    except RecursionError:
        reader.mistakes = [RuleError("the expression is nested too deeply", 0)]
    if reader.mistakes:
        return None, sorted(reader.mistakes, key=lambda mistake: mistake.column or 0)
    return Compiled(text, term.run, reader.used), []


class Reader:
    """Reads one expression; collects the mistakes and what the expression uses."""

    def __init__(self, text: str, world: World) -> None:
        self.world = world
        self.mistakes: list[RuleError] = []
        self.used = Used()
        self._source = text.replace("\n", " ").replace("\r", " ").replace("\t", " ")
        self._indent = len(self._source) - len(self._source.lstrip())
        self._bytes = self._source.lstrip().encode()

    def parse(self) -> ast.expr | None:
        source = self._source.strip()
        if not source:
            self.mistakes.append(RuleError("the expression is empty", 0))
            return None
        if len(source) > LONGEST:
            self.mistakes.append(RuleError(f"the expression is longer than {LONGEST} characters", LONGEST))
            return None
        try:
            return ast.parse(source, mode="eval").body
        except SyntaxError as error:
            column = self._indent + max((error.offset or 1) - 1, 0)
            self.mistakes.append(RuleError(f"cannot be read: {error.msg}{self._syntax_hint(source)}", column))
        except (RecursionError, MemoryError, ValueError):
            self.mistakes.append(RuleError("cannot be read: nested too deeply, or not text", 0))
        return None

    def _syntax_hint(self, source: str) -> str:
        for sign, word in (("&&", "and"), ("||", "or"), ("<>", "!=")):
            if sign in source:
                return f'; write "{word}" for "{sign}"'
        names = {name for key in self.world.inventory.regions for name in key}
        reserved = sorted(name for name in names if keyword.iskeyword(name) and name in source)
        if reserved:
            return f'; "{reserved[0]}" is a word of the language: give that region or camera another name'
        bare = source.replace("==", "").replace("!=", "").replace("<=", "").replace(">=", "")
        if "=" in bare and "(" not in bare:
            return '; write "==" to compare'
        return "; strings stand in quotes, conditions are joined by and, or, not"

    def column(self, node: ast.AST) -> int:
        """0-based, in characters of the whole text."""
        offset: int = getattr(node, "col_offset", 0)
        return self._indent + len(self._bytes[:offset].decode(errors="ignore"))

    def wrong(self, node: ast.AST, message: str) -> Term:
        self.mistakes.append(RuleError(message, self.column(node)))
        return Term(WRONG, lambda: nan)

    def expect(self, term: Term, kind: str, node: ast.AST, what: str) -> bool:
        if term.kind in (kind, WRONG):
            return term.kind == kind
        if term.kind == STATE and term.fact is not None and kind == TRUTH:
            self.wrong(node, f"{term.fact.name} is a region's state: compare it, {self._example(term.fact)}")
        else:
            self.wrong(node, f"{what} must be {kind}, this is {term.kind}")
        return False

    def _example(self, fact: Fact) -> str:
        labels = self.world.labels_of((fact.camera, fact.region))
        return f'such as {fact.name} == "{labels[0] if labels else "label"}"'

    def term(self, node: ast.expr) -> Term:
        """The checked form of any node."""
        match node:
            case ast.BoolOp():
                return self._logic(node)
            case ast.UnaryOp(op=ast.Not()):
                inner = self.term(node.operand)
                self.expect(inner, TRUTH, node.operand, "what follows not")
                run = inner.run
                return Term(TRUTH, lambda: not run())
            case ast.UnaryOp(op=ast.USub()):
                inner = self.term(node.operand)
                self.expect(inner, NUMBER, node.operand, "what follows -")
                run = inner.run
                value = -inner.value if isinstance(inner.value, int | float) else None
                return Term(NUMBER, lambda: -run(), value=value)
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div()):
                left, right = self.term(node.left), self.term(node.right)
                self.expect(left, NUMBER, node.left, "what is calculated with")
                self.expect(right, NUMBER, node.right, "what is calculated with")
                apply, first, second = _ARITHMETIC[type(node.op)], left.run, right.run
                return Term(NUMBER, lambda: apply(first(), second()))
            case ast.Compare():
                return self._comparison(node)
            case ast.Constant():
                return self._constant(node)
            case ast.List() | ast.Tuple():
                return self._list(node)
            case ast.Name():
                return self._name(node)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
                from .functions import call

                return call(self, node)
        return self.wrong(node, f"{_describe(node)} cannot stand in a rule")

    def _logic(self, node: ast.BoolOp) -> Term:
        word = "and" if isinstance(node.op, ast.And) else "or"
        runs = []
        for value in node.values:
            term = self.term(value)
            self.expect(term, TRUTH, value, f"what {word} joins")
            runs.append(term.run)
        if len(runs) == 2:
            first, second = runs
            if word == "and":
                return Term(TRUTH, lambda: first() and second())
            return Term(TRUTH, lambda: first() or second())
        if word == "and":
            return Term(TRUTH, lambda: all(run() for run in runs))
        return Term(TRUTH, lambda: any(run() for run in runs))

    def _constant(self, node: ast.Constant) -> Term:
        value = node.value
        if isinstance(value, bool):
            return Term(TRUTH, lambda: value, value=value)
        if isinstance(value, int | float):
            number = float(value)
            return Term(NUMBER, lambda: number, value=value)
        if isinstance(value, str):
            return Term(TEXT, lambda: value, value=value)
        return self.wrong(node, f"{value!r} cannot stand in a rule")

    def _list(self, node: ast.List | ast.Tuple) -> Term:
        values = []
        for element in node.elts:
            if isinstance(element, ast.Constant) and isinstance(element.value, str):
                values.append(element.value)
            else:
                self.wrong(element, "a list holds labels in quotes")
        return Term(LIST, lambda: values, value=values)

    def _comparison(self, node: ast.Compare) -> Term:
        nodes: list[ast.expr] = [node.left, *node.comparators]
        terms = [self.term(each) for each in nodes]
        links = [
            self._link(op, (terms[i], nodes[i]), (terms[i + 1], nodes[i + 1]))
            for i, op in enumerate(node.ops)
        ]
        if len(links) == 1:
            return Term(TRUTH, links[0])
        return Term(TRUTH, lambda: all(link() for link in links))

    def _link(
        self, op: ast.cmpop, left: tuple[Term, ast.expr], right: tuple[Term, ast.expr]
    ) -> Callable[[], bool]:
        (one, one_node), (two, two_node) = left, right
        false: Callable[[], bool] = lambda: False  # noqa: E731 - stands for what is reported as a mistake
        if WRONG in (one.kind, two.kind):
            return false
        if isinstance(op, ast.In | ast.NotIn):
            if one.fact is None:
                self.wrong(one_node, f"the left side of in must be a region, this is {one.kind}")
            elif two.kind != LIST:
                self.wrong(
                    two_node,
                    f'the right side of in must be a list of labels, such as ["a", "b"], this is {two.kind}',
                )
            else:
                return self._state_in(one.fact, two, two_node, isinstance(op, ast.NotIn))
            return false
        compare = _ORDER.get(type(op))
        if compare is None:
            self.wrong(one_node, "compare with == or !=, is cannot stand in a rule")
            return false
        equality = isinstance(op, ast.Eq | ast.NotEq)
        if equality and one.kind == TEXT and two.fact is not None:
            one, two, two_node = two, one, one_node
        if equality and one.fact is not None and two.kind == TEXT:
            return self._state_is(one.fact, two.value, two_node, isinstance(op, ast.NotEq))
        if equality and one.fact is not None and two.fact is not None:
            mine, other = one.fact, two.fact
            if isinstance(op, ast.Eq):
                return lambda: mine.label == other.label
            return lambda: mine.label != other.label
        first, second = one.run, two.run
        if one.kind == two.kind and (one.kind == NUMBER or (equality and one.kind == TRUTH)):
            return lambda: compare(first(), second())
        if STATE in (one.kind, two.kind) and not equality:
            self.wrong(one_node, "a region's state has no order: compare it with == , != or in")
        else:
            self.wrong(two_node, f"{one.kind} cannot be compared with {two.kind}")
        return false

    def check_label(self, fact: Fact, label: str, node: ast.AST) -> bool:
        """Whether a region may be compared with `label`; reports it otherwise."""
        labels = self.world.labels_of((fact.camera, fact.region))
        if labels is None or label in labels or label in (UNKNOWN, INVALID):
            return True
        shown = ", ".join(labels[:12]) + (f" and {len(labels) - 12} more" if len(labels) > 12 else "")
        hint = nearest(label, [*labels, UNKNOWN, INVALID])
        self.wrong(node, f'{fact.name} has no label "{label}"{hint} (it has: {shown}, unknown, invalid)')
        return False

    def _state_is(self, fact: Fact, label: str, node: ast.AST, negated: bool) -> Callable[[], bool]:
        self.check_label(fact, label, node)
        self.used.named.append((fact, label))
        known = self.world.inventory.regions[fact.camera, fact.region]
        run: Callable[[], bool]
        if known is not None and not known.multi_label:
            run = (lambda: fact.label != label) if negated else (lambda: fact.label == label)
        else:
            run = (lambda: not fact.has(label)) if negated else (lambda: fact.has(label))
        self.used.atoms.append((fact, run))
        return run

    def _state_in(self, fact: Fact, labels: Term, node: ast.expr, negated: bool) -> Callable[[], bool]:
        wanted: Sequence[str] = tuple(labels.value)
        elements = node.elts if isinstance(node, ast.List | ast.Tuple) else []
        for label, element in zip(wanted, elements, strict=False):
            self.check_label(fact, label, element)
        if not wanted:
            self.wrong(node, "the list of labels is empty")
        self.used.named.extend((fact, label) for label in wanted)
        run: Callable[[], bool] = lambda: any(fact.has(label) for label in wanted) != negated  # noqa: E731
        self.used.atoms.append((fact, run))
        return run

    def _name(self, node: ast.Name) -> Term:
        name, regions = node.id, self.world.inventory.regions
        if name in ("true", "false"):
            value = name == "true"
            return Term(TRUTH, lambda: value, value=value)
        found = [key for key in regions if key[1] == name] or [key for key in regions if key[0] == name]
        if len(found) == 1:
            return self._state(found[0])
        if found:
            ways = " or ".join(f"{camera}.{region}" for camera, region in found[:4])
            return self.wrong(node, f'"{name}" could be several regions: write {ways}')
        names = {each for key in regions for each in key}
        hint = nearest(name, names)
        if not hint:
            hint = f'; did you mean "{name}" in quotes?' if self._is_label(name) else ""
        return self.wrong(node, f'no region is named "{name}"{hint}')

    def _is_label(self, name: str) -> bool:
        return any(
            known is not None and name in known.labels for known in self.world.inventory.regions.values()
        )

    def _attribute(self, node: ast.Attribute) -> Term:
        if not isinstance(node.value, ast.Name):
            return self.wrong(node, "a region is written camera.region")
        camera, name, regions = node.value.id, node.attr, self.world.inventory.regions
        if camera == "rule":
            if name not in self.world.active:
                return self.wrong(node, f'no rule is named "{name}"{nearest(name, self.world.active)}')
            active = self.world.active
            self.used.rules.append(name)
            return Term(TRUTH, lambda: active[name])
        if (camera, name) in regions:
            return self._state((camera, name))
        cameras = {key[0] for key in regions}
        if camera not in cameras:
            return self.wrong(node, f'no camera is named "{camera}"{nearest(camera, {*cameras, "rule"})}')
        own = [key[1] for key in regions if key[0] == camera]
        return self.wrong(
            node, f'camera "{camera}" has no region "{name}"{nearest(name, own)} (it has: {", ".join(own)})'
        )

    def _state(self, key: RegionKey) -> Term:
        fact = self.world.facts[key]
        if fact not in self.used.facts:
            self.used.facts.append(fact)
        return Term(STATE, lambda: fact.label, fact=fact)


def _describe(node: ast.AST) -> str:
    words: dict[type[ast.AST], str] = {
        ast.Lambda: "a lambda",
        ast.IfExp: "if … else",
        ast.Dict: "a dictionary",
        ast.Set: "a set",
        ast.Subscript: "an index [ ]",
        ast.NamedExpr: ":=",
        ast.JoinedStr: "an f-string",
        ast.ListComp: "a comprehension",
        ast.GeneratorExp: "a comprehension",
        ast.Starred: "*",
    }
    if isinstance(node, ast.BinOp | ast.UnaryOp):
        return f"the operator {type(node.op).__name__}"
    return words.get(type(node), type(node).__name__)
