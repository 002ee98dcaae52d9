"""The functions of the rule language: their arguments, how they are checked, what they build.

    probability(region)  probability(region, "label")       smoothed score of the decided, or the named label
    duration(condition)                                     seconds since the condition began to hold, 0 while
    not count(condition, window = "1m")                         how often it began to hold within the window
    rate_per_minute(condition, window = "5m")               the same, divided by the window's minutes
    rate(condition, parts = 100)                            share of the last 100 parts for which it held
    control_chart(condition, parts = 50, baseline = 0.02)   p-chart; rules = "1,2,3,4", side, learn
    ewma_chart(condition, parts = 50, baseline = 0.02)      EWMA chart; weight = 0.2, width = 2.7, side, learn

The last three take `background = "empty"` (or a list): the labels that stand between parts. Without it, those
of `empty`, `between`, `background`, `none` that the region has. What a part is: `instruments.PartWatch`. A
window is counted in full from the start on: a node that runs for one minute has a five-minute rate of a
fifth.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgenode.records import INVALID, UNKNOWN

from .comparisons import check_label
from .control_charts import SIDES, ZONE_RULES, ChartSpec, EwmaChart, PChart
from .facts import Fact, nearest
from .instruments import Duration, EntryCounter, Instrument, PartChart, PartRate, PartWatch
from .terms import LIST, NUMBER, STATE, TEXT, TRUTH, WRONG, Term, Used, doubt

if TYPE_CHECKING:
    from .expression import Reader

BACKGROUNDS = ("empty", "between", "background", "none")
LONGEST_WINDOW_S = 7 * 86400.0
MOST_PARTS = 10_000

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument. `kind`: region, condition, label, labels, window, whole, number, share, zones, side."""

    name: str
    kind: str
    required: bool = False
    example: str = ""


_CONDITION = Parameter("condition", "condition", True, 'line_1.belt == "defect"')
_BACKGROUND = Parameter("background", "labels")
_CHART = (
    _CONDITION,
    Parameter("parts", "whole", True, "50"),
    Parameter("baseline", "share"),
    Parameter("side", "side"),
    Parameter("learn", "whole"),
    _BACKGROUND,
)

FUNCTIONS: dict[str, tuple[Parameter, ...]] = {
    "probability": (
        Parameter("region", "region", True, "line_1.belt"),
        Parameter("label", "label"),
    ),
    "duration": (_CONDITION,),
    "count": (_CONDITION, Parameter("window", "window", True, '"1m"')),
    "rate_per_minute": (_CONDITION, Parameter("window", "window", True, '"5m"')),
    "rate": (_CONDITION, Parameter("parts", "whole", True, "100"), _BACKGROUND),
    "control_chart": (*_CHART, Parameter("rules", "zones")),
    "ewma_chart": (*_CHART, Parameter("weight", "share"), Parameter("width", "number")),
}


def call(reader: Reader, node: ast.Call) -> Term:
    """The checked form of a call; every mistake in it goes to the reader."""
    name = node.func.id if isinstance(node.func, ast.Name) else None
    if name is None or name not in FUNCTIONS:
        shown = name or ast.unparse(node.func)
        hint = nearest(shown, FUNCTIONS) or f" (there are: {', '.join(FUNCTIONS)})"
        return reader.wrong(node, f'no function is named "{shown}"{hint}')
    mistakes = len(reader.mistakes)
    values = _bind(reader, node, name)
    if len(reader.mistakes) > mistakes:
        return Term(WRONG, lambda: float("nan"))
    if name == "probability":
        return _probability(reader, node, values)
    return _remembering(reader, node, name, values)


def _bind(reader: Reader, node: ast.Call, name: str) -> dict[str, Any]:
    parameters = {parameter.name: parameter for parameter in FUNCTIONS[name]}
    given: dict[str, ast.expr] = {}
    for position, argument in enumerate(node.args):
        if isinstance(argument, ast.Starred) or position >= len(parameters):
            reader.wrong(argument, f"{name}() takes at most {len(parameters)} arguments")
            break
        given[list(parameters)[position]] = argument
    for item in node.keywords:
        if item.arg is None or item.arg not in parameters:
            hint = nearest(item.arg or "", parameters) or f" (it takes: {', '.join(parameters)})"
            reader.wrong(item.value, f'{name}() has no argument "{item.arg}"{hint}')
        elif item.arg in given:
            reader.wrong(item.value, f'{name}() is given "{item.arg}" twice')
        else:
            given[item.arg] = item.value
    for parameter in parameters.values():
        if parameter.required and parameter.name not in given:
            how = (
                parameter.example
                if parameter.kind in ("region", "condition")
                else f"{parameter.name} = {parameter.example}"
            )
            reader.wrong(node, f"{name}() needs its {parameter.name}, such as {how}")
    return {key: _argument(reader, name, parameters[key], value) for key, value in given.items()}


def _argument(reader: Reader, name: str, parameter: Parameter, node: ast.expr) -> Any:
    what = f"{parameter.name} of {name}()"
    if parameter.kind == "condition":
        return _condition(reader, node, what)
    term = reader.term(node)
    if term.kind == WRONG:
        return None
    value = term.value
    if parameter.kind == "region":
        if term.kind != STATE:
            reader.wrong(node, f"{what} must be a region, this is {term.kind}")
        return term.fact
    if parameter.kind == "labels":
        if term.kind == TEXT:
            return [value]
        reader.expect(term, LIST, node, what)
        return value
    if parameter.kind in ("label", "side", "zones", "window"):
        number = parameter.kind == "window" and term.kind == NUMBER
        if not number and not reader.expect(term, TEXT, node, what):
            return None
        return _text(reader, node, what, parameter.kind, value)
    if not reader.expect(term, NUMBER, node, what):
        return None
    if value is None:
        reader.wrong(node, f"{what} must be a plain number")
    elif parameter.kind == "whole" and not (isinstance(value, int) and 1 <= value <= MOST_PARTS):
        reader.wrong(node, f"{what} must be a whole number from 1 to {MOST_PARTS}")
    elif parameter.kind == "share" and not 0.0 < value < 1.0:
        reader.wrong(node, f"{what} must be between 0 and 1")
    elif parameter.kind == "number" and not 0.0 < value < 1000.0:
        reader.wrong(node, f"{what} must be above 0")
    return value


def _text(reader: Reader, node: ast.expr, what: str, kind: str, value: Any) -> Any:
    if kind == "window":
        match = _DURATION.match(value) if isinstance(value, str) else None
        seconds = float(match.group(1)) * _UNITS[match.group(2)] if match else value
        if not isinstance(seconds, int | float) or not 0.0 < seconds <= LONGEST_WINDOW_S:
            reader.wrong(node, f'{what} is written like "30s", "5m" or "8h", up to "7d"')
        return seconds
    if kind == "side" and value not in SIDES:
        reader.wrong(node, f"{what} is one of {', '.join(SIDES)}{nearest(value, SIDES)}")
    if kind == "zones":
        numbers = [part.strip() for part in value.split(",")]
        if not all(part.isdigit() and int(part) in ZONE_RULES for part in numbers):
            reader.wrong(node, f'{what} are some of "1,2,3,4"')
            return None
        return [int(part) for part in numbers]
    return value


@dataclass(frozen=True, slots=True)
class Subject:
    """The condition inside a function: what it says, and what it depends on."""

    holds: Callable[[], bool]
    used: Used
    node: ast.expr


def _condition(reader: Reader, node: ast.expr, what: str) -> Subject | None:
    outer = reader.used
    reader.used = used = Used()
    term = reader.term(node)
    reader.used = outer
    fine = reader.expect(term, TRUTH, node, what)
    if used.instruments:
        reader.wrong(node, f"{what} cannot hold another function that remembers: make that a rule of its own")
        fine = False
    for fact in used.facts:
        if fact not in outer.facts:
            outer.facts.append(fact)
    outer.rules.extend(used.rules)
    outer.scored = outer.scored or used.scored
    for fact, label in used.named:
        outer.counted.append((fact, label))
    return Subject(term.run, used, node) if fine else None


def _probability(reader: Reader, node: ast.Call, values: dict[str, Any]) -> Term:
    fact: Fact = values["region"]
    label: str | None = values.get("label")
    if label is not None and label in (UNKNOWN, INVALID, "none"):
        return reader.wrong(node, f'"{label}" has no probability: name one of the labels of the model')
    if label is not None and not check_label(reader, fact, label, node):
        return Term(WRONG, lambda: float("nan"))
    reader.used.scored = True
    return Term(NUMBER, lambda: fact.probability(label), about=fact)


def _remembering(reader: Reader, node: ast.Call, name: str, values: dict[str, Any]) -> Term:
    subject: Subject = values["condition"]
    world = reader.world
    key = ast.unparse(node)
    instrument = world.instruments.get(key)
    if instrument is None:
        built = _build(reader, node, name, subject, values)
        if built is None:
            return Term(WRONG, lambda: float("nan"))
        instrument = world.instruments[key] = built
    if instrument not in reader.used.instruments:
        reader.used.instruments.append(instrument)
    found = instrument
    if name in ("control_chart", "ewma_chart"):
        return Term(TRUTH, lambda: found.value(world.now_s) > 0.0)
    reader.used.timed = reader.used.timed or name in ("count", "rate_per_minute", "duration")
    return Term(NUMBER, lambda: found.value(world.now_s))


def _build(
    reader: Reader, node: ast.Call, name: str, subject: Subject, values: dict[str, Any]
) -> Instrument | None:
    if name == "duration":
        return Duration(subject.holds)
    if name in ("count", "rate_per_minute"):
        per_minute, only_rules = name == "rate_per_minute", not subject.used.facts
        return EntryCounter(subject.holds, doubt(subject.used), values["window"], per_minute, only_rules)
    watch = _watch(reader, node, name, subject, values.get("background"))
    if watch is None:
        return None
    parts: int = values["parts"]
    if name == "rate":
        return PartRate(watch, parts)
    spec = ChartSpec(parts, values.get("baseline"), values.get("learn", 20), values.get("side", "above"))
    if name == "control_chart":
        return PartChart(watch, parts, PChart(spec, values.get("rules", [1, 2, 3, 4])))
    return PartChart(watch, parts, EwmaChart(spec, values.get("weight", 0.2), values.get("width", 2.7)))


def _watch(
    reader: Reader, node: ast.Call, name: str, subject: Subject, background: list[str] | None
) -> PartWatch | None:
    facts = subject.used.facts
    if len(facts) != 1 or subject.used.rules:
        reader.wrong(
            subject.node, f"{name}() counts the parts of one region: name exactly one in its condition"
        )
        return None
    fact = facts[0]
    labels = reader.world.labels_of((fact.camera, fact.region))
    if background is None:
        background = [label for label in BACKGROUNDS if labels is not None and label in labels]
        if not background and labels is not None:
            reader.wrong(
                node,
                f'{name}() must know which label of {fact.name} stands between parts: add background = "…" '
                f"(it has: {', '.join(labels[:12])}), or background = [] if every change is a new part",
            )
            return None
    else:
        mistakes = len(reader.mistakes)
        for label in background:
            check_label(reader, fact, label, node)
        if len(reader.mistakes) > mistakes:
            return None
    return PartWatch(lambda: fact.label, frozenset(background), subject.holds)
