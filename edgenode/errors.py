"""Every error the project raises on purpose. Each says whether a retry can help, and carries the facts."""

from __future__ import annotations

from typing import ClassVar


class EdgeNodeError(Exception):
    """Root of all deliberate errors. The message is one line: what, where, what to do."""

    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without anybody changing anything."""


class ConfigurationError(EdgeNodeError):
    """The configuration cannot work. Carries every mistake found, not only the first, each one printable line."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = [_one_line(problem) for problem in problems]
        super().__init__("\n".join(self.problems))


class SourceError(EdgeNodeError):
    """A camera cannot be opened or read now; opening it again may help."""

    retryable = True


class SourceRefusedError(SourceError):
    """The source answered and said no (wrong path, no permission). A camera that starts up says so, too."""


class CredentialsRefusedError(SourceRefusedError):
    """The camera does not accept user and password. Retried at a slow pace: some lock an account."""


class SourceEndedError(EdgeNodeError):
    """A source with an end has reached it. Nothing is wrong."""


class PictureError(EdgeNodeError):
    """A picture's bytes cannot be used: unreadable, too large, of an unsupported kind."""


class ModelError(EdgeNodeError):
    """A model file is refused: no card, wrong hash, external data, a graph its card disagrees with."""


class ProviderError(ModelError):
    """The provider asked for is not there: not built into onnxruntime, or without its libraries or its device."""


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


def _one_line(text: str) -> str:
    """What a configuration's values hold must not break lines or steer the terminal that shows them."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
