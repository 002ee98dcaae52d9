"""The status page: the same JSON as /status.json, laid out for a person whose browser runs no script."""

from __future__ import annotations

from html import escape
from typing import Any

from edgenode.records import JsonObject

_MAX_DEPTH = 6
_STYLE = """
:root{color-scheme:light dark;--line:#8884;--ok:#1a7f37;--degraded:#9a6700;--failed:#cf222e}
body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .7rem .25rem 0;
border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}th{font-weight:600}
.status{display:inline-block;padding:.1rem .6rem;border-radius:1rem;color:#fff;background:var(--degraded)}
.ok{background:var(--ok)}.failed{background:var(--failed)}footer{margin-top:2rem;opacity:.75}
"""


def status_page(state: JsonObject) -> str:
    """HTML of `state`, in which `health` has `status` and `reasons`. Every value is escaped.

    Lists of objects become tables with a row each, objects two columns, anything else its text.
    """
    health = state.get("health", {})
    status = str(health.get("status", "unknown"))
    title = f"edgenode {state['node']}" if isinstance(state.get("node"), str) else "edgenode"
    reasons = "".join(f"<li>{escape(str(reason))}</li>" for reason in health.get("reasons", ()))
    sections = "".join(
        f"<section><h2>{escape(key)}</h2>{_value(value, 0)}</section>"
        for key, value in state.items()
        if key not in ("health", "node")
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="refresh" content="5"><title>{escape(title)}: {escape(status)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)} "
        f'<span class="status {escape(status)}">{escape(status)}</span></h1>'
        f"{f'<ul>{reasons}</ul>' if reasons else ''}{sections}"
        '<footer><a href="/">live page</a> · <a href="/metrics">metrics</a> · <a href="/healthz">health</a> · '
        '<a href="/readyz">readiness</a> · <a href="/status.json">this page as JSON</a></footer>'
        "</body></html>"
    )


def _value(value: Any, depth: int) -> str:
    if depth >= _MAX_DEPTH:
        return escape(str(value))
    if isinstance(value, dict):
        rows = "".join(
            f'<tr><th scope="row">{escape(str(key))}</th><td>{_value(item, depth + 1)}</td></tr>'
            for key, item in value.items()
        )
        return f"<table>{rows}</table>"
    if isinstance(value, list | tuple):
        if value and all(isinstance(item, dict) for item in value):
            return _rows(list(value), depth)
        return ", ".join(_value(item, depth + 1) for item in value) or "–"
    return "–" if value is None or value == "" else escape(str(value))


def _rows(items: list[dict[str, Any]], depth: int) -> str:
    keys = list(dict.fromkeys(key for item in items for key in item))
    head = "".join(f'<th scope="col">{escape(str(key))}</th>' for key in keys)
    body = "".join(
        "<tr>" + "".join(f"<td>{_value(item.get(key), depth + 1)}</td>" for key in keys) + "</tr>"
        for item in items
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
