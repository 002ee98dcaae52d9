"""The node as a service: signals, the service manager's protocol, exit codes."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from edgenode import exit_codes
from edgenode.config_file import LoadedSettings
from edgenode.errors import ConfigurationError, EdgeNodeError
from edgenode.heap import share_heaps
from edgenode.node import Node
from edgenode.telemetry.logs import chosen_form, set_up_logging
from edgenode.telemetry.notify import Notifier
from edgenode.telemetry.redaction import known_secrets

log = logging.getLogger(__name__)


def run_daemon(loaded: LoadedSettings, load_again: Callable[[], LoadedSettings]) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP (or the `reload` command) applies what `load_again` returns.

    Returns the exit code. Called on the main thread; signal handlers only set flags.
    """
    faulthandler.enable()
    share_heaps()
    _set_up_logging(loaded)
    stop = threading.Event()
    node = Node(loaded.settings, loaded.base_dir)

    def on_stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    def on_reload(number: int, frame: FrameType | None) -> None:
        del number, frame
        node.reload_requested.set()

    signal.signal(signal.SIGTERM, on_stop)
    signal.signal(signal.SIGINT, on_stop)
    signal.signal(signal.SIGHUP, on_reload)
    notifier = Notifier(os.environ)
    try:
        node.start()
    except ConfigurationError as error:
        for problem in error.problems:
            log.error("%s", problem)
        return exit_codes.CONFIGURATION
    log.info("running: %s", _summary(node))
    notifier.ready(_summary(node))
    return _serve(node, notifier, stop, load_again)


def _set_up_logging(loaded: LoadedSettings) -> None:
    settings = loaded.settings
    form = chosen_form(settings.node.log_format, os.environ)
    set_up_logging(settings.node.log_level, form, known_secrets(settings) | _password_in_file(loaded))


def _password_in_file(loaded: LoadedSettings) -> set[str]:
    """What `mqtt.password_file` holds now; nothing where it cannot be read, which the connection tells."""
    path = loaded.settings.mqtt.password_file
    if path is None:
        return set()
    try:
        return {path.read_text(encoding="utf-8").strip("\r\n")} - {""}
    except (OSError, UnicodeDecodeError):
        return set()


def _serve(
    node: Node, notifier: Notifier, stop: threading.Event, load_again: Callable[[], LoadedSettings]
) -> int:
    code = exit_codes.OK
    try:
        while not stop.is_set():
            node.supervise(stop, _watchdog(notifier))
            if node.reload_requested.is_set():
                node.reload_requested.clear()
                _reload(node, notifier, load_again)
    except EdgeNodeError as error:
        log.error("a part of the node has failed, ending so that the service manager restarts it: %s", error)
        code = exit_codes.INTERNAL
    except Exception:
        log.exception("a fault inside the node, ending so that the service manager restarts it")
        code = exit_codes.INTERNAL
    notifier.stopping()
    log.info("stopping: cameras, models, then what waits for the broker")
    node.stop()
    return code


def _watchdog(notifier: Notifier) -> Callable[[], None]:
    """Tells the manager that all is well, four times within its patience and no more often."""
    interval_s = notifier.watchdog_interval_s
    if interval_s is None:
        return lambda: None
    due_s = 0.0

    def beat() -> None:
        nonlocal due_s
        now_s = time.monotonic()
        if now_s >= due_s:
            due_s = now_s + interval_s / 4.0
            notifier.watchdog()

    return beat


def _reload(node: Node, notifier: Notifier, load_again: Callable[[], LoadedSettings]) -> None:
    notifier.reloading()
    try:
        loaded = load_again()
        node.reload(loaded.settings, loaded.base_dir)
        _set_up_logging(loaded)
    except ConfigurationError as error:
        for problem in error.problems:
            log.error("reload refused: %s", problem)
        log.error("the former configuration goes on")
    else:
        log.info("configuration reloaded: %s", _summary(node))
    notifier.ready(_summary(node))


def _summary(node: Node) -> str:
    settings = node.settings
    return f"{len(settings.cameras)} cameras, {len(settings.models)} models, {len(settings.rules)} rules"
