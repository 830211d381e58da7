"""What a client can be told: by the server, or by the way to it."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any

from interchange.errors import InterchangeError, UsageError
from interchange.protocol.errors import ServingError

if TYPE_CHECKING:
    from interchange.client.answers import Answer

_CODE = re.compile(r"IX\d{3}\Z")
_TEXT = 500  # characters of a foreign server's own words


class ClientError(InterchangeError):
    """IX681 to IX685: there is no answer: the server cannot be reached, is too slow, or does not keep to the protocol.

    passing: another attempt may find it otherwise.
    """

    passing = False


class RemoteError(ServingError):
    """What the server said instead of an answer, with its own code, input, found, expected and fix.

    status: of HTTP.  problems: each by itself, as plain data, where the server found several.  Code IX686 when the
    server gave none: it is another implementation, or something before it.
    """

    def __init__(self, code: str, message: str, *, status: int, problems: tuple[Any, ...] = (), **parts: Any) -> None:
        super().__init__(code, message, **parts)
        self.status, self.problems = status, problems

    def to_dict(self) -> dict[str, Any]:
        """The parts as plain data."""
        more = {"input": self.input, "status": self.status, "problems": list(self.problems)}
        return super().to_dict() | {k: v for k, v in more.items() if v}


class LostError(Exception):
    """A connection ended before an answer was complete. The text says how."""


def remote_error(answer: Answer, where: str, retry_after: float | None = None) -> RemoteError:
    """The error that an answer tells of."""
    body = answer.json_or_none()
    told: dict[str, Any] = body if isinstance(body, dict) else {}
    code = told.get("code")
    if isinstance(code, str) and _CODE.match(code):
        parts = {k: _text(told.get(k)) for k in ("input", "found", "expected", "fix")}
        message = _text(told.get("message")) or _text(told.get("error")) or "the server refuses the request"
        problems = told.get("problems")
        return RemoteError(
            code,
            message,
            status=answer.status,
            problems=tuple(problems) if isinstance(problems, list) else (),
            retry_after=retry_after,
            where=where,
            **parts,
        )
    said = told.get("error") or told.get("detail") or (None if told else answer.text())
    return RemoteError(
        "IX686",
        "the server refuses the request" if answer.status < 500 else "the server failed",
        status=answer.status,
        retry_after=retry_after,
        where=where,
        found=f"HTTP {answer.status}" + (f": {_text(said)}" if said else ""),
        expected="HTTP 200",
        fix=_fix(answer.status),
    )


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = " ".join((value if isinstance(value, str) else str(value)).split())
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}..."


def _fix(status: int) -> str:
    match status:
        case 301 | 302 | 303 | 307 | 308:
            return "give the address that it points to: redirects are not followed"
        case 401 | 403:
            return "give the token that the operator of the server gave you: Client(url, token=...)"
        case 404:
            return "look at the address, and at the model's name and version"
        case 429 | 503:
            return "send it again later, or send less at a time"
    return "look at what the server says" if status < 500 else "look into the server's log"


def unreachable(where: str, error: OSError | ValueError) -> ClientError:
    """IX681."""
    wrong = isinstance(error, ssl.SSLError)
    found = ClientError(
        "IX681",
        "the server cannot be reached",
        where=where,
        found=str(error) or type(error).__name__,
        expected="a server with a certificate that can be trusted" if wrong else "a server that takes the connection",
        fix="trust its authority: Client(url, tls=ssl.create_default_context(cafile=...))"
        if wrong
        else "look at the address, and whether the server runs: interchange serve MODELS",
    )
    found.passing = not wrong
    return found


def late(where: str, timeout: float, what: str) -> ClientError:
    """IX682."""
    return ClientError(
        "IX682",
        "there was no answer in time",
        where=where,
        found=f"{what}, after {timeout:g} s",
        expected=f"a whole answer within {timeout:g} s, all attempts included",
        fix="give it more time: timeout=...; or send less at once",
    )


def ended(where: str, found: str) -> ClientError:
    """IX683."""
    error = ClientError(
        "IX683",
        "the connection ended before the answer was complete",
        where=where,
        found=found,
        expected="a whole answer",
        fix="look whether the server still runs, and into its log",
    )
    error.passing = True
    return error


def no_protocol(found: str, expected: str, where: str | None = None) -> ClientError:
    """IX684."""
    return ClientError(
        "IX684",
        "the answer is not what the protocol says",
        where=where,
        found=found,
        expected=expected,
        fix="look whether the address is that of a server of the Open Inference Protocol (KServe v2)",
    )


def too_large(limit: int) -> ClientError:
    """IX685."""
    return ClientError(
        "IX685",
        "the answer is larger than this client takes",
        found=f"more than {limit} bytes",
        expected=f"at most {limit} bytes",
        fix="ask for fewer outputs or a smaller batch, or allow more: Client(url, max_answer=...)",
    )


def missing_extra(module: str) -> UsageError:
    """IX870."""
    return UsageError(
        "IX870",
        "the client's packages are not installed",
        found=f"no module {module}",
        expected="the packages of the extra interchange[client]",
        fix="pip install 'interchange[client]'",
    )
