"""Words, variables, arguments and requests that nobody would write, for the fuzz in its short and its long form."""

from __future__ import annotations

CANARY = "c4nary-value"
"""Stands for a secret: it may be given, and is never shown."""
ODD = [
    "", "1s", "-1s", "1e9d", "5m", "64MiB", "99999GiB", "true", "null", "[]", "{}", "0.5", "nan", "\x00", "é" * 40,
    "x" * 5000, "rtsp://u:p@[::1", "http://", "usb:", "usb:-1", "synthetic:", "file:///", "../..", CANARY,
    "0.0.0.0:99999",
]  # fmt: skip
PARTS = [
    "NODE", "MQTT", "HTTP", "CAMERAS", "RULES", "MODELS", "0", "1", "LINE_1", "NAME", "SOURCE", "REGIONS", "FPS", "FOR",
    "", "X", "MASKS", "DISABLED", "COMMANDS", "SMOOTHING", "LABELS", "FILE", "-1", "99999999999999999999",
]  # fmt: skip
KNOWN = {
    "NODE__NAME": "line-7", "MQTT__HOST": "broker.plant.local", "MQTT__PORT": "1883", "HTTP__LISTEN": "127.0.0.1:9464",
    "INFERENCE__THREADS": "2", "OUTBOX__KEEP": "1h", "OUTBOX__MAX_SIZE": "64MiB", "COMMANDS__DISABLED": '["reload"]',
    "CAMERAS__0__FPS": "5", "CAMERAS__0__MASKS": "[[[0.0, 0.0], [0.2, 0.0], [0.2, 0.1]]]", "MQTT__PASSWORD": CANARY,
}  # fmt: skip
"""Variables of a name and a value that fit."""
COMMANDS = ["check", "outbox", "model", "explain", "snapshot", "verify", "worklist", "nonsense", ""]
ARGUMENTS = [
    "--config", "edgenode.toml", "--help", "--rule", "--camera", "--at", "--since", "--out", "x", "--limit", "-1",
    "list", "stats", "export", "drop", "replay", "inspect", "install", "activate", "rollback", "shadow", "--", "--wait",
    "1h", "--replay", "9" * 400 + "d", "nan", "inf", "0001-01-01", "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
]  # fmt: skip
LINES = [
    ["check", "--config", "edgenode.toml"], ["outbox", "list", "--limit", "3"], ["outbox", "stats"],
    ["outbox", "export", "--out", "x"], ["outbox", "drop", "--before", "2026-01-01"],
    ["outbox", "replay", "--since", "1h"], ["model", "list"], ["model", "inspect", "x"], ["model", "rollback", "x"],
    ["explain", "--rule", "x", "--at", "2026-01-01"], ["verify", "x"], ["worklist", "--limit", "2"],
    ["snapshot", "line_1", "--out", "x"],
]  # fmt: skip
"""Command lines that are at least spelt well."""
REQUESTS = [
    b"", b"{}", b'{"transaction": "42", "args": {}}', b'{"transaction": "7", "args": {"camera": "line_1"}}',
    b'{"args": {"since": "2026-01-01T00:00:00Z"}, "expires_at": "2026-01-01T00:00:00Z"}',
    b'{"args": {"model": "defects", "url": "https://u:p@h/m.onnx", "sha256": "' + b"0" * 64 + b'"}}',
]  # fmt: skip
