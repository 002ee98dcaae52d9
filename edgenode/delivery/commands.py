"""Commands from outside: what is let in, what is answered, what is done once and only once.

`Gate.admit` runs on the publisher's thread and is cheap; `CommandWorker` runs the verbs on a thread of its
own, so that one that takes seconds (installing a model) delays no event.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import ValidationError

from edgenode.clock import Clock
from edgenode.delivery.link_options import Received
from edgenode.delivery.messages import REPLY_EXPIRY_S
from edgenode.delivery.payloads import CommandPayload, ReplyError, ReplyPayload
from edgenode.delivery.topics import Topics
from edgenode.errors import EdgeNodeError
from edgenode.records import JsonObject, Message
from edgenode.settings import CommandSettings

log = logging.getLogger(__name__)

CommandHandler = Callable[[JsonObject], JsonObject]
"""Arguments to the reply's `data`. Raises EdgeNodeError (CommandError for a code of its own)."""

MAX_REQUEST_BYTES = 4096
REMEMBERED = 256
WAITING = 16
BURST_S = 2.0
"""So many seconds' worth of commands may come at once."""
_MAX_LOGGED = 300
_MAX_REPLY_BYTES = 64 * 1024
_STOP = None


class CommandError(EdgeNodeError):
    """A command cannot be done. `code` is for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A request that was let in and must be answered exactly once."""

    verb: str
    args: JsonObject
    transaction: str | None
    response_topic: str
    correlation: bytes | None
    deadline_s: float | None
    """Monotonic; after it the request is answered `expired` instead of being done."""


class CommandObserver(Protocol):
    def command(self, verb: str, ok: bool) -> None: ...


class Gate:
    """Decides on every incoming message. One thread.

    Retained requests (a broker would repeat them at every connect), repeated ones and those beyond the rate
    get no answer; everything else that is refused gets one with an error.
    """

    def __init__(
        self,
        topics: Topics,
        verbs: frozenset[str],
        observer: CommandObserver,
        clock: Clock,
        limits: CommandSettings = CommandSettings(),  # noqa: B008 - frozen
    ) -> None:
        self._topics = topics
        self._verbs = verbs
        self._observer = observer
        self._clock = clock
        self._limits = limits
        self._burst = max(1.0, BURST_S * limits.rate)
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._tokens = self._burst
        self._filled_s = clock.monotonic()
        self.unanswered = 0
        """Requests dropped without an answer."""

    def admit(self, received: Received) -> CommandRequest | Message | None:
        """A request to do, a refusal to send, or nothing."""
        verb = self._topics.verb_of(received.topic)
        if verb is None or received.retain or not self._within_rate():
            return self._drop()
        response = received.response_topic or self._topics.reply(verb if verb in self._verbs else "unknown")
        if not self._may_answer(response):
            return self._drop()
        if verb not in self._verbs:
            known = ", ".join(sorted(self._verbs))
            return self._refuse(received, response, "unknown", None, "unknown_verb", f"known verbs: {known}")
        if not self._limits.permits(verb):
            text = f"{verb} is switched off on this node (commands.disabled)"
            return self._refuse(received, response, verb, None, "disabled", text)
        if len(received.payload) > MAX_REQUEST_BYTES:
            text = f"a request has at most {MAX_REQUEST_BYTES} bytes"
            return self._refuse(received, response, verb, None, "too_large", text)
        try:
            payload = CommandPayload.model_validate_json(received.payload or b"{}")
        except (ValidationError, ValueError, RecursionError):
            text = 'a request is a JSON object like {"transaction": "42", "args": {}}'
            return self._refuse(received, response, verb, None, "invalid", text)
        transaction = payload.transaction
        if self._is_repeated(verb, transaction, received.correlation):
            return self._drop()
        now_at = self._clock.now()
        if payload.expires_at is not None:
            if payload.expires_at.tzinfo is None:
                text = "expires_at needs a time zone"
                return self._refuse(received, response, verb, transaction, "invalid", text)
            if payload.expires_at <= now_at:
                return self._refuse(
                    received, response, verb, transaction, "expired", "the request came too late"
                )
        return CommandRequest(
            verb=verb,
            args=payload.args,
            transaction=transaction,
            response_topic=response,
            correlation=received.correlation,
            deadline_s=self._deadline_s(received, payload),
        )

    def _deadline_s(self, received: Received, payload: CommandPayload) -> float | None:
        remaining = [] if received.expiry_s is None else [float(received.expiry_s)]
        if payload.expires_at is not None:
            remaining.append((payload.expires_at - self._clock.now()).total_seconds())
        return self._clock.monotonic() + min(remaining) if remaining else None

    def _within_rate(self) -> bool:
        now_s = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now_s - self._filled_s) * self._limits.rate)
        self._filled_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _may_answer(self, topic: str) -> bool:
        """A reply must not become a command, of this node or another, or an event or a state of this node."""
        if not topic or len(topic) > 512 or any(c in topic for c in "+#\0") or topic.startswith("$"):
            return False
        own = topic.startswith(f"{self._topics.root}/")
        replies = topic.startswith(f"{self._topics.root}/replies/")
        return replies or not (own or "/commands/" in topic)

    def _is_repeated(self, verb: str, transaction: str | None, correlation: bytes | None) -> bool:
        if transaction is not None:
            key = (verb, f"t {transaction}")
        elif correlation is not None:
            key = (verb, f"c {correlation.hex()}")
        else:
            return False
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return False

    def _drop(self) -> CommandRequest | Message | None:
        self.unanswered += 1
        log.warning("a command was dropped: retained, repeated, beyond the rate, or not to be answered")
        return None

    def _refuse(
        self, received: Received, response: str, verb: str, transaction: str | None, code: str, text: str
    ) -> Message:
        self._observer.command(verb, False)
        log.warning("the command %s was refused: %s", verb, code)
        return reply_message(
            response, received.correlation, transaction, error=ReplyError(code=code, message=text)
        )


def reply_message(
    topic: str,
    correlation: bytes | None,
    transaction: str | None,
    data: JsonObject | None = None,
    error: ReplyError | None = None,
) -> Message:
    payload = ReplyPayload(
        status="ok" if error is None else "error", transaction=transaction, data=data, error=error
    )
    return Message(
        topic,
        payload.model_dump_json(exclude={"error"} if error is None else {"data"}).encode(),
        expiry_s=REPLY_EXPIRY_S,
        response_to=correlation,
    )


class CommandWorker:
    """Does requests one after the other and gives each one's reply to `answer`."""

    def __init__(
        self,
        verbs: Mapping[str, CommandHandler],
        answer: Callable[[Message], None],
        observer: CommandObserver,
        clock: Clock,
        thread_name: str = "commands",
    ) -> None:
        self._verbs = dict(verbs)
        self._answer = answer
        self._observer = observer
        self._clock = clock
        self._queue: queue.Queue[CommandRequest | None] = queue.Queue(WAITING)
        self._stopping = False
        self._begun_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=thread_name, daemon=True)

    @property
    def heartbeat_s(self) -> float:
        """Monotonic: when the command at hand was begun, or now while there is none. Any thread."""
        begun_s = self._begun_s
        return self._clock.monotonic() if begun_s is None else begun_s

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What runs is finished; what waits is answered `stopping`."""
        self._stopping = True
        try:
            self._queue.put_nowait(_STOP)
        except queue.Full:
            return  # the thread sees the flag after the request at hand

    def join(self, timeout_s: float) -> bool:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def offer(self, request: CommandRequest) -> None:
        """Never blocks: when too many wait, the answer is `busy` at once."""
        try:
            self._queue.put_nowait(request)
        except queue.Full:
            self._finish(request, None, ReplyError(code="busy", message=f"{WAITING} commands wait already"))

    def _run(self) -> None:
        while True:
            if self._stopping and self._queue.empty():
                return
            request = self._queue.get()
            if request is _STOP:
                continue
            self._begun_s = self._clock.monotonic()
            self._do(request)
            self._begun_s = None

    def _do(self, request: CommandRequest) -> None:
        if self._stopping:
            self._finish(request, None, ReplyError(code="stopping", message="the node is stopping"))
            return
        if request.deadline_s is not None and self._clock.monotonic() > request.deadline_s:
            self._finish(request, None, ReplyError(code="expired", message="the request waited too long"))
            return
        try:
            data = self._verbs[request.verb](request.args)
        except CommandError as error:
            self._finish(request, None, ReplyError(code=error.code, message=str(error)))
        except EdgeNodeError as error:
            code = "retry" if error.retryable else "failed"
            self._finish(request, None, ReplyError(code=code, message=str(error)))
        except Exception:
            # a verb's fault must not end the thread; what went wrong is for the log, not for the network
            log.exception("the command %s failed", request.verb)
            self._finish(request, None, ReplyError(code="internal", message="see the node's log"))
        else:
            self._finish(request, data, None)

    def _finish(self, request: CommandRequest, data: JsonObject | None, error: ReplyError | None) -> None:
        reply = _reply(request, data, error)
        # as JSON, so that what somebody sent cannot look like a line of the log
        asked = json.dumps({"args": request.args, "transaction": request.transaction})[:_MAX_LOGGED]
        outcome = error.code if error is not None else "done"
        log.info("the command %s %s: %s", request.verb, asked, outcome)
        self._observer.command(request.verb, error is None)
        self._answer(reply)


def _reply(request: CommandRequest, data: JsonObject | None, error: ReplyError | None) -> Message:
    topic, correlation, transaction = request.response_topic, request.correlation, request.transaction
    try:
        reply = reply_message(topic, correlation, transaction, data or {}, error)
    except ValueError:
        log.exception("the answer to the command %s is not JSON", request.verb)
    else:
        if len(reply.payload) <= _MAX_REPLY_BYTES:
            return reply
    unfit = ReplyError(code="internal", message="done, but the answer cannot be sent: see the node's log")
    return reply_message(topic, correlation, transaction, error=unfit)
