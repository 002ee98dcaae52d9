"""What the source must not contain: doors through which data becomes code. Read from the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("edgenode", "trainer", "scripts")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MODULES = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle", "code", "pty",
}  # fmt: skip
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "asyncio.create_subprocess_shell", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "numpy.load", "np.load",
    "tempfile.mktemp", "ssl._create_unverified_context", "ssl.wrap_socket",
}  # fmt: skip


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attributes of one; "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def forbidden(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in MODULES:
                yield str(node.module)
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from sorted(names & CALLS)
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            keywords = {each.arg: each.value for each in node.keywords}
            if name in CALLS:
                yield name
            if name == "torch.load" and not _is(keywords.get("weights_only"), True):
                yield "torch.load without weights_only=True"
            if "shell" in keywords and not _is(keywords["shell"], False):
                yield f"{name}(shell=...)"
            if _is(keywords.get("allow_pickle"), True) or _is(keywords.get("check_hostname"), False):
                yield f"{name} with a guard switched off"
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and target.attr == "check_hostname":
                    yield "check_hostname assigned"
        elif isinstance(node, ast.Attribute) and node.attr == "CERT_NONE":
            yield "CERT_NONE"


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_data_becomes_code(path: Path) -> None:
    found = list(forbidden(ast.parse(path.read_text(encoding="utf-8"))))
    assert not found, f"{path}: {found}"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import dill.session", "eval('1')", "exec(x)", "compile(x, y, z)",
        "import os\nos.system('ls')", "from os import system", "subprocess.run('ls', shell=True)", "f(shell=x)",
        "torch.load(p)", "torch.load(p, weights_only=False)", "np.load(p)", "numpy.lib.load(p, allow_pickle=True)",
        "context.check_hostname = False", "context.verify_mode = ssl.CERT_NONE", "yaml.load(x)",
    ],
)  # fmt: skip
def test_the_reader_sees_what_it_looks_for(source: str) -> None:
    assert list(forbidden(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "network.eval()",
        "re.compile('x')",
        "torch.load(p, weights_only=True)",
        "json.load(f)",
        "run(['ls'], shell=False)",
    ],
)
def test_the_reader_sees_nothing_else(source: str) -> None:
    assert not list(forbidden(ast.parse(source)))
