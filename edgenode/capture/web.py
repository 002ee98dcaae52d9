"""One GET to a camera: credentials from the URL, our own timeouts, no proxies, no other protocols."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from functools import partial
from typing import Any

from edgenode.capture.address import redact
from edgenode.errors import CredentialsRefusedError, SourceError, SourceRefusedError

_REFUSALS = {
    401: "the user name or password is not accepted (401)",
    403: "access is forbidden (403)",
    404: "there is nothing at this path (404)",
}


class _TwoTimeouts:
    """Mixed into http.client's connections: the read timeout replaces the open timeout after the answer."""

    sock: Any

    def __init__(self, host: str, *, read_timeout_s: float, **kwargs: Any) -> None:
        super().__init__(host, **kwargs)  # type: ignore[call-arg]
        self._read_timeout_s = read_timeout_s

    def getresponse(self) -> http.client.HTTPResponse:
        sock = self.sock
        response: http.client.HTTPResponse = super().getresponse()  # type: ignore[misc]
        sock.settimeout(self._read_timeout_s)
        return response


class _Http(_TwoTimeouts, http.client.HTTPConnection):
    pass


class _Https(_TwoTimeouts, http.client.HTTPSConnection):
    pass


class _Handler(urllib.request.HTTPHandler):
    def __init__(self, read_timeout_s: float) -> None:
        super().__init__()
        self._http = partial(_Http, read_timeout_s=read_timeout_s)

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._http, req)


class _SecureHandler(urllib.request.HTTPSHandler):
    def __init__(self, read_timeout_s: float) -> None:
        super().__init__()
        self._https = partial(_Https, read_timeout_s=read_timeout_s, context=ssl.create_default_context())

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._https, req)


class _SameHost(urllib.request.HTTPRedirectHandler):
    """A camera may send us to another of its paths or ports, or to https, but to no other machine."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if new.hostname != old.hostname or (old.scheme == "https" and new.scheme != "https"):
            fp.close()
            raise SourceRefusedError(
                f"{redact(req.full_url)} redirects to {redact(newurl)[:200]}, which is not followed: write that "
                "address into the configuration if it is meant"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class WebClient:
    """Asks one camera for one URL. Basic and Digest credentials are taken out of the URL."""

    def __init__(self, url: str, open_timeout_s: float, read_timeout_s: float) -> None:
        self.shown = redact(url)
        self._open_timeout_s = open_timeout_s
        self._url, user, password = _split_credentials(url)
        self._opener = urllib.request.OpenerDirector()
        handlers: list[urllib.request.BaseHandler] = [
            _Handler(read_timeout_s),
            _SecureHandler(read_timeout_s),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            _SameHost(),
        ]
        if user is not None:
            passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            passwords.add_password(None, self._url, user, password or "")
            handlers += [
                urllib.request.HTTPDigestAuthHandler(passwords),
                urllib.request.HTTPBasicAuthHandler(passwords),
            ]
        for handler in handlers:
            self._opener.add_handler(handler)

    def get(self, headers: dict[str, str]) -> http.client.HTTPResponse | None:
        """The answer, to be closed by the caller; None where it is "304 not modified".

        Raises SourceRefusedError for 4xx, SourceError for all that may pass.
        """
        request = urllib.request.Request(self._url, headers={"User-Agent": "edgenode", **headers})  # noqa: S310
        try:
            response: http.client.HTTPResponse = self._opener.open(request, timeout=self._open_timeout_s)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.client.NOT_MODIFIED:
                return None
            raise self._refusal(error.code) from None
        except urllib.error.URLError as error:
            raise self._failure(error.reason) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failure(error) from None
        return response

    def _refusal(self, code: int) -> SourceError:
        text = f"{self.shown}: {_REFUSALS.get(code, f'the server answers with status {code}')}"
        if code in (401, 403):
            return CredentialsRefusedError(text)
        return SourceRefusedError(text) if 400 <= code < 500 else SourceError(text)

    def _failure(self, reason: object) -> SourceError:
        if isinstance(reason, TimeoutError):
            return SourceError(f"{self.shown} did not answer within {self._open_timeout_s:g} s")
        if isinstance(reason, ConnectionRefusedError):
            return SourceError(f"{self.shown}: nothing listens there (connection refused)")
        if isinstance(reason, ssl.SSLCertVerificationError):
            return SourceError(f"{self.shown}: its certificate is not trusted ({reason.verify_message})")
        words = reason.strerror if isinstance(reason, OSError) else None
        return SourceError(f"{self.shown} cannot be opened: {words or type(reason).__name__}")


def _split_credentials(url: str) -> tuple[str, str | None, str | None]:
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None, None
    name, _, password = user.partition(":")
    bare = urllib.parse.urlunsplit(parts._replace(netloc=host))
    return bare, urllib.parse.unquote(name), urllib.parse.unquote(password)
