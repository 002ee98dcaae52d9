"""The node as a service: signals, the service manager's protocol, exit codes."""

from __future__ import annotations

import faulthandler
import logging
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from edgenode import exit_codes
from edgenode.configuration.file import LoadedSettings
from edgenode.errors import ConfigurationError, EdgeNodeError
from edgenode.heap import share_heaps
from edgenode.interpreter import share_lock
from edgenode.node.node import Node
from edgenode.supervision import StallAlarm, ThreadWatch, all_stacks, end_in_time, leave, patience
from edgenode.telemetry.logs import chosen_form, log_uncaught, set_up_logging
from edgenode.telemetry.notify import Notifier
from edgenode.telemetry.redaction import known_secrets

log = logging.getLogger(__name__)


def run_daemon(loaded: LoadedSettings, load_again: Callable[[], LoadedSettings]) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP (or the `reload` command) applies what `load_again` returns.

    Returns the exit code. Called on the main thread; signal handlers only set flags.
    """
    faulthandler.enable()
    share_heaps()
    share_lock()
    # the broker's password and the cameras' are in this process's memory
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _set_up_logging(loaded)
    log_uncaught()
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
    with ThreadWatch(node.health):
        try:
            node.start()
        except ConfigurationError as error:
            for problem in error.problems:
                log.error("%s", problem)
            return leave(exit_codes.CONFIGURATION)
        log.info("running: %s", _summary(node))
        notifier.ready(_summary(node))
        return leave(_serve(node, notifier, stop, load_again))


def _set_up_logging(loaded: LoadedSettings) -> None:
    settings = loaded.settings
    form = chosen_form(settings.node.log_format, os.environ)
    set_up_logging(settings.node.log_level, form, known_secrets(settings))


def _serve(
    node: Node, notifier: Notifier, stop: threading.Event, load_again: Callable[[], LoadedSettings]
) -> int:
    code = exit_codes.OK
    alarm = StallAlarm(notifier.watchdog_interval_s)
    beat = _beat(node, notifier, alarm)
    beat()

    def still_loading() -> None:
        alarm.beat()
        notifier.watchdog()

    try:
        while not stop.is_set():
            node.supervise(stop, beat)
            if node.reload_requested.is_set():
                node.reload_requested.clear()
                with patience(still_loading, alarm.limit_s / 4.0):
                    _reload(node, notifier, load_again)
    except EdgeNodeError as error:
        log.critical(
            "a part of the node has failed, ending so that the service manager restarts it: %s", error
        )
        log.critical("what every thread was doing:\n%s", all_stacks())
        code = exit_codes.INTERNAL
    except Exception:
        log.exception("a fault inside the node, ending so that the service manager restarts it")
        code = exit_codes.INTERNAL
    alarm.stop()
    if code != exit_codes.OK:
        end_in_time()
    notifier.stopping()
    log.info("stopping: cameras, models, then what waits for the broker")
    node.stop()
    return code


def _beat(node: Node, notifier: Notifier, alarm: StallAlarm) -> Callable[[], None]:
    """Called while every thread makes progress: tells the manager so, and what the node's state is, four times
    within the manager's patience and no more often."""
    interval_s = notifier.watchdog_interval_s
    pause_s = (interval_s if interval_s is not None else alarm.limit_s) / 4.0
    due_s = 0.0
    said = ""

    def beat() -> None:
        nonlocal due_s, said
        now_s = time.monotonic()
        if now_s < due_s:
            return
        due_s = now_s + pause_s
        alarm.beat()
        if interval_s is not None:
            notifier.watchdog()
        state = f"{node.announced or 'starting'}; {_summary(node)}"
        if state != said:
            said = state
            notifier.status(state)

    return beat


def _reload(node: Node, notifier: Notifier, load_again: Callable[[], LoadedSettings]) -> None:
    notifier.reloading()
    node.reload_turns.begin()
    problems: list[str] = []
    try:
        loaded = load_again()
        node.reload(loaded.settings, loaded.base_dir)
        _set_up_logging(loaded)
    except ConfigurationError as error:
        problems = error.problems
        for problem in problems:
            log.error("reload refused: %s", problem)
        log.error("the former configuration goes on")
    else:
        log.info("configuration reloaded: %s", _summary(node))
    node.reload_turns.finish(problems)
    notifier.ready(_summary(node))


def _summary(node: Node) -> str:
    settings = node.settings
    return f"{len(settings.cameras)} cameras, {len(settings.models)} models, {len(settings.rules)} rules"
