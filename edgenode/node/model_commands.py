"""The commands that change which model serves. They run on the thread of slow commands: models are fetched and
loaded there while events and other commands go on."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from edgenode.delivery.commands import CommandError
from edgenode.nearest import suggestion
from edgenode.records import JsonObject

if TYPE_CHECKING:
    from edgenode.inference.store import InstalledModel
    from edgenode.node.node import Node
    from edgenode.rollout.model_rollout import Then

_SHA256 = re.compile(r"[0-9a-f]{64}")
_THEN = ("nothing", "activate", "shadow")


def _install(node: Node, arguments: JsonObject) -> JsonObject:
    url, sha256 = arguments.get("url"), arguments.get("sha256")
    if not isinstance(url, str) or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise CommandError(
            "bad_arguments", 'say which file: {"url": "https://…", "sha256": "64 hexadecimal digits"}'
        )
    then = arguments.get("then", "nothing")
    if then not in _THEN:
        raise CommandError("bad_arguments", f"then is one of {', '.join(_THEN)}")
    model = _model(node, arguments) if "model" in arguments or then != "nothing" else None
    return _said(node.rollout.install(url, sha256, model, cast("Then", then)))


def _activate(node: Node, arguments: JsonObject) -> JsonObject:
    return _said(node.rollout.activate(_model(node, arguments), _file(arguments)))


def _rollback(node: Node, arguments: JsonObject) -> JsonObject:
    return _said(node.rollout.rollback(_model(node, arguments)))


def _shadow(node: Node, arguments: JsonObject) -> JsonObject:
    model = _model(node, arguments)
    sha256 = None if arguments.get("sha256", "") is None else _file(arguments)
    installed = node.rollout.shadow(model, sha256)
    return _said(installed) if installed is not None else {"model": model, "sha256": None}


def _model(node: Node, arguments: JsonObject) -> str:
    model = arguments.get("model")
    if not isinstance(model, str) or model not in node.pipeline.models():
        known = node.pipeline.models()
        raise CommandError(
            "unknown_model", f"no model {str(model)[:64]!r} serves here{suggestion(str(model), known)}"
        )
    return model


def _file(arguments: JsonObject) -> str:
    sha256 = arguments.get("sha256")
    if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{6,64}", sha256):
        raise CommandError("bad_arguments", "say which installed file: sha256, or its first 6 digits or more")
    return sha256


def _said(installed: InstalledModel) -> JsonObject:
    return {
        "name": installed.name,
        "sha256": installed.sha256,
        "bytes": installed.size_bytes,
        "active": installed.active,
        "previous": installed.previous,
        "shadow": installed.shadow,
    }


MODEL_HANDLERS: dict[str, Callable[[Node, JsonObject], JsonObject]] = {
    "model_install": _install,
    "model_activate": _activate,
    "model_rollback": _rollback,
    "model_shadow": _shadow,
}
