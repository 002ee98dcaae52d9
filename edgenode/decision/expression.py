"""The language of rules: Python's expression syntax, a whitelist of its nodes, types checked before anything
runs.

    line_1.belt == "defect"                              a region's decided label
    signal == "red" and stop_line in ["car", "truck"]    short names, where only one camera has such a region
    probability(line_1.belt, "defect") > 0.9             numbers, + - * /, chained comparisons
    not rule.maintenance and count(gate == "person", window = "1m") > 3

Kinds of values: a region's state, a number, a truth, a text. A rule must be a truth. Comparing a state needs
one of the model's own labels, or `unknown` or `invalid`. `!=` and `not` are plain logic: `belt != "ok"` also
holds while the belt is unknown or invalid; name the label that is meant where that matters.

A number that cannot be known (a probability while the region is invalid, x / 0) is NaN, and every comparison
with it is false.

Nothing is evaluated by Python: the tree is turned into closures bound to the facts.
"""

from __future__ import annotations

import ast
import keyword
import operator
from collections.abc import Callable
from math import nan

from edgenode.errors import RuleError

from .comparisons import comparison
from .facts import Fact, RegionKey, World, nearest
from .functions import call
from .terms import LIST, NUMBER, STATE, TEXT, TRUTH, WRONG, Compiled, Term, Used

LONGEST = 4000
"""Characters of one expression."""
DEEPEST = 40
"""Levels of nesting: evaluation recurses as deep."""

_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda left, right: left / right if right else nan,
}


def named_rules(text: str) -> list[str]:
    """The rules that `text` names as rule.NAME, even if something else in it is wrong."""
    try:
        tree = ast.parse(_in_one_line(text).strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "rule"
    ]


def _in_one_line(text: str) -> str:
    """Expressions may be written over several lines, as Python would only allow within brackets."""
    return text.replace("\n", " ").replace("\r", " ").replace("\t", " ")


def compile_condition(text: str, world: World) -> tuple[Compiled | None, list[RuleError]]:
    """The condition in `text`, or every mistake in it (in the order of the text), each with its column."""
    reader = Reader(text, world)
    tree = reader.parse()
    if tree is None:
        return None, reader.mistakes
    term = reader.term(tree)
    reader.expect(term, TRUTH, tree, "the rule")
    if reader.mistakes:
        return None, sorted(reader.mistakes, key=lambda mistake: mistake.column or 0)
    return Compiled(text, term.run, reader.used), []


class Reader:
    """Reads one expression; collects the mistakes and what the expression uses."""

    def __init__(self, text: str, world: World) -> None:
        self.world = world
        self.mistakes: list[RuleError] = []
        self.used = Used()
        self._depth = 0
        self._source = _in_one_line(text)
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
        if self._depth >= DEEPEST:
            return self.wrong(node, f"nested more than {DEEPEST} levels deep")
        self._depth += 1
        term = self._term(node)
        self._depth -= 1
        return term

    def _term(self, node: ast.expr) -> Term:
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
                return comparison(self, node)
            case ast.Constant():
                return self._constant(node)
            case ast.List() | ast.Tuple():
                return self._list(node)
            case ast.Name():
                return self._name(node)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
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
