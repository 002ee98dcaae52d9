"""FFmpeg's errors as sentences. Its own texts carry the URL, credentials included, and are never used
whole."""

from __future__ import annotations

import errno

import av

from edgenode.errors import CredentialsRefusedError, SourceError, SourceRefusedError

_CREDENTIALS = {
    "HTTPUnauthorizedError": "the user name or password is not accepted (401)",
    "HTTPForbiddenError": "access is forbidden (403)",
}
_REFUSED = {
    "HTTPNotFoundError": "there is no stream at this path (404)",
    "HTTPBadRequestError": "the server calls the request bad (400)",
    "HTTPOtherClientError": "the server refuses the request (4xx)",
    "HTTPTooManyRequestsError": "the server says that there are too many requests (429)",
}


def open_error(error: av.error.FFmpegError, shown: str, timeout_s: float, spent_s: float) -> SourceError:
    """What to raise when opening `shown` failed with `error` after `spent_s` of `timeout_s`."""
    denial = _CREDENTIALS.get(type(error).__name__)
    if denial is not None:
        return CredentialsRefusedError(f"{shown}: {denial}")
    refusal = _REFUSED.get(type(error).__name__)
    if refusal is not None:
        return SourceRefusedError(f"{shown}: {refusal}")
    # interrupted while it waits for an RTSP reply, FFmpeg speaks of invalid data
    if isinstance(error, av.error.ExitError | TimeoutError) or spent_s >= timeout_s:
        return SourceError(f"{shown} did not answer within {timeout_s:g} s")
    if isinstance(error, FileNotFoundError):
        return SourceError(f"{shown} does not exist")
    if isinstance(error, av.error.InvalidDataError):
        return SourceError(f"{shown} is not a video that can be read, or it is damaged")
    if isinstance(error, ConnectionRefusedError):
        return SourceError(f"{shown}: nothing listens there (connection refused)")
    if error.errno == errno.EIO:  # all that FFmpeg says of a host name that cannot be resolved
        return SourceError(f"{shown} cannot be reached: is the host name right and the network up?")
    return SourceError(f"{shown} cannot be opened: {_words(error)}")


def read_error(error: av.error.FFmpegError, shown: str, timeout_s: float) -> SourceError:
    """What to raise when reading from `shown` failed with `error`."""
    if isinstance(error, av.error.ExitError | TimeoutError):
        return SourceError(f"{shown}: no data for {timeout_s:g} s")
    return SourceError(f"{shown} broke off: {_words(error)}")


def _words(error: av.error.FFmpegError) -> str:
    return str(error.strerror or type(error).__name__)
