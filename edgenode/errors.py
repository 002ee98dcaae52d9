"""Every error the project raises on purpose. Each says whether a retry can help, and carries the facts."""

from __future__ import annotations

from typing import ClassVar


class EdgeNodeError(Exception):
    """Root of all deliberate errors. The message is one line: what, where, what to do."""

    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without anybody changing anything."""


class ConfigurationError(EdgeNodeError):
    """The configuration cannot work. Carries every mistake found, not only the first."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SourceError(EdgeNodeError):
    """A camera cannot be opened or read now; opening it again may help."""

    retryable = True


class SourceRefusedError(SourceError):
    """The source answered and said no (credentials, wrong path). Retried, at the slowest pace."""


class SourceEndedError(EdgeNodeError):
    """A source with an end has reached it. Nothing is wrong."""


class PictureError(EdgeNodeError):
    """A picture's bytes cannot be used: unreadable, too large, of an unsupported kind."""


class ModelError(EdgeNodeError):
    """A model file is refused: no card, wrong hash, external data, a graph its card disagrees with."""


class InferenceError(EdgeNodeError):
    """A loaded model failed on a batch, ran too long, or answered with something not finite."""

    retryable = True


class RunTimeoutError(InferenceError):
    """A run took longer than its limit and was ended."""


class RuleError(EdgeNodeError):
    """A rule cannot be understood. `column` is the 0-based offset into the expression, where known."""

    def __init__(self, message: str, column: int | None = None) -> None:
        super().__init__(message)
        self.column = column


class OutboxError(EdgeNodeError):
    """The outbox cannot store or read now (disk full, file damaged)."""

    retryable = True


class LinkError(EdgeNodeError):
    """The broker cannot be reached or refuses the connection; connecting again may help."""

    retryable = True


class DataError(EdgeNodeError):
    """Training or evaluation data cannot be used as given."""
