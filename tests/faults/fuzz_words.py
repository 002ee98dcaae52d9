"""Fuzz targets made of words: environment, command line, commands from the broker, cards and model files."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from click.testing import CliRunner

from edgenode.cli import main
from edgenode.clock import ManualClock
from edgenode.configuration.file import load
from edgenode.delivery.commands import CommandRequest, Gate
from edgenode.delivery.link_options import Received
from edgenode.delivery.topics import Topics
from edgenode.errors import ConfigurationError, ModelError
from edgenode.inference.card import parse_card
from edgenode.inference.classifier import Classifier, ClassifierOptions
from edgenode.inference.onnx_file import card_of, parse_onnx
from edgenode.node.commands import VERBS
from edgenode.records import Message
from edgenode.settings import CommandSettings
from tests.faults.model_bytes import mutated, mutated_card
from tests.faults.mutation import damaged
from tests.faults.odd_words import ARGUMENTS, CANARY, COMMANDS, KNOWN, LINES, ODD, PARTS, REQUESTS
from tests.models import Tiny, make_card, model_bytes

Target = Callable[[random.Random], str]
"""Makes one input, feeds it, and says in a word what came of it. Whatever it raises is a fault of ours."""
TOPICS = Topics("edgenode/v1", "gateway-7")
_NUMBERS = (0, -1, 2**70, 1e308, -0.5, float("nan"), float("inf"))
_EXIT_CODES = (0, 1, 2, 78)


def environment(folder: Path) -> Target:
    """Variables over a file that works: settings, or a sentence for each mistake without the value."""
    path = folder / "edgenode.toml"
    path.write_text('[[cameras]]\nname = "line_1"\nsource = "usb:0"\n')

    def feed(rng: random.Random) -> str:
        environ = {f"EDGENODE__{name}": KNOWN[name] for name in rng.sample(list(KNOWN), rng.randrange(5))}
        if environ and rng.random() < 0.3:
            environ[rng.choice(list(environ))] = _written(rng)
        for _ in range(rng.choice((0, 0, 1, 1, 3))):
            environ["EDGENODE__" + "__".join(rng.choices(PARTS, k=rng.randint(0, 6)))] = _written(rng)
        try:
            load(path, environ)
        except ConfigurationError as error:
            problems = error.problems
        else:
            return "good"
        in_words(problems)
        return "refused"

    return feed


def in_words(problems: Sequence[str]) -> None:
    """Something is said, a line for each mistake, and neither a traceback nor a value that may be a secret."""
    assert problems
    for problem in problems:
        assert problem.strip(), "an empty message"
        assert "\n" not in problem, problem
        assert CANARY not in problem, problem
        assert "Traceback" not in problem, problem


def command_line(folder: Path) -> Target:
    """Any arguments after any command: done, or refused in words."""
    (folder / "edgenode.toml").write_text('[node]\nstate_dir = "state"\n')
    environ = {"EDGENODE_CONFIG": str(folder / "edgenode.toml")}
    words = [word for word in ODD if "\0" not in word] + ARGUMENTS * 3

    def feed(rng: random.Random) -> str:
        if rng.random() < 0.6:
            arguments = list(rng.choice(LINES))
            for _ in range(rng.randrange(3)):
                arguments[rng.randrange(1, len(arguments))] = rng.choice(words)
        else:
            arguments = [rng.choice(COMMANDS), *rng.choices(words, k=rng.randint(0, 5))]
        with contextlib.chdir(folder):
            done = CliRunner().invoke(main, arguments, env=environ)
        assert done.exit_code in _EXIT_CODES, (arguments, done.exit_code, done.output, done.exception)
        assert "Traceback" not in done.output, (arguments, done.output)
        return f"exit {done.exit_code}"

    return feed


def command(folder: Path) -> Target:
    """Requests as the broker hands them on: one that may be done, an answer that says no, or silence."""
    del folder

    def feed(rng: random.Random) -> str:
        asked = Received(
            topic=TOPICS.command(rng.choice((*sorted(VERBS), "nonsense", "", "a/b", "\0"))),
            payload=_request(rng),
            retain=rng.random() < 0.1,
            qos=rng.randrange(3),
            response_topic=rng.choice((None, None, TOPICS.reply("x"), TOPICS.state, *ODD)),
            correlation=rng.choice((None, b"", rng.randbytes(20))),
            expiry_s=rng.choice((None, 0, 1, 2**32 - 1)),
        )
        answer = Gate(TOPICS, VERBS, _Silent(), ManualClock(), CommandSettings()).admit(asked)
        if isinstance(answer, CommandRequest):
            assert answer.verb in VERBS
            assert not asked.retain
            return "let in"
        if isinstance(answer, Message):
            assert not answer.topic.startswith(TOPICS.command(""))
            assert json.loads(answer.payload)["status"] == "error"
            return "refused"
        return "no answer"

    return feed


def card(folder: Path) -> Target:
    """A model card with one value exchanged, or damaged as text."""
    del folder
    whole = make_card(Tiny(embedding=True)).to_json()

    def feed(rng: random.Random) -> str:
        text = mutated_card(whole, rng)
        if rng.random() < 0.3:
            text = damaged(rng, text.encode()).decode("utf-8", "replace")
        try:
            parse_card(text, "m")
        except ModelError as error:
            return "refused" if str(error).strip() else _wordless(error)
        return "read"

    return feed


def model(folder: Path) -> Target:
    """A model file the node's whole way: outline, card, onnxruntime, the golden vector."""
    del folder
    files = [
        model_bytes(Tiny()),
        model_bytes(Tiny(embedding=True, trips=3)),
        model_bytes(Tiny(task="multi_label")),
    ]
    options = ClassifierOptions(run_timeout_s=2.0)

    def feed(rng: random.Random) -> str:
        data = mutated(rng.choice(files), rng)
        try:
            card_of(parse_onnx(data, "m"), "m")
            Classifier.load_bytes(data, "m", options).close()
        except ModelError as error:
            return "refused" if str(error).strip() else _wordless(error)
        return "loaded and proven"

    return feed


def _wordless(error: Exception) -> str:
    raise AssertionError("refused without a word") from error


class _Silent:
    def command(self, verb: str, ok: bool) -> None:
        """What the gate counts is not looked at."""


def _written(rng: random.Random) -> str:
    """A variable's value: a word, a mistyped one, or JSON of any shape."""
    word = rng.choice(ODD)
    match rng.randrange(4):
        case 0:
            return json.dumps(_any(rng, 4))
        case 1:
            return damaged(rng, word.encode(), 6000).decode("utf-8", "surrogateescape")
        case 2:
            return damaged(rng, json.dumps(_any(rng, 3)).encode()).decode("utf-8", "surrogateescape")
    return word


def _request(rng: random.Random) -> bytes:
    match rng.randrange(4):
        case 0:
            keys = ("args", "transaction", "expires_at", "x")
            return json.dumps({rng.choice(keys): _any(rng, 4) for _ in range(3)}).encode()
        case 1:
            return b'{"args":' + rng.choice((b"[", b'{"a":')) * rng.randint(1, 4000)
    return damaged(rng, rng.choice(REQUESTS), 8192)


def _any(rng: random.Random, depth: int) -> object:
    kind = rng.randrange(7 if depth else 5)
    if kind < 3:
        return rng.choice(ODD)
    if kind == 3:
        return rng.choice(_NUMBERS)
    if kind == 4:
        return rng.choice((True, False, None))
    if kind == 5:
        return [_any(rng, depth - 1) for _ in range(rng.randrange(4))]
    # names of keys are shown, values never
    return {
        rng.choice(ODD).replace(CANARY, "key")[:40]: _any(rng, depth - 1) for _ in range(rng.randrange(4))
    }
