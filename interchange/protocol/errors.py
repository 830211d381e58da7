"""What a request can be told, and the status that each code has at each door."""

from __future__ import annotations

from typing import Any

from interchange.errors import InterchangeError, RuntimeInputError
from interchange.runtime.errors import InputsError

# code -> (HTTP status, name of the gRPC status). Codes that are not here are a fault of the client's: 400.
STATUS: dict[str, tuple[int, str]] = {
    "IX640": (404, "NOT_FOUND"),  # no such model
    "IX641": (404, "NOT_FOUND"),  # no such version
    "IX642": (503, "UNAVAILABLE"),  # the model is there and not ready
    "IX643": (429, "RESOURCE_EXHAUSTED"),  # the queue is full
    "IX644": (504, "DEADLINE_EXCEEDED"),
    "IX645": (503, "UNAVAILABLE"),  # the server is going down
    "IX646": (499, "CANCELLED"),  # the client has gone; nobody reads it
    "IX647": (503, "UNAVAILABLE"),  # no memory for the run, or its worker has gone
    "IX648": (500, "INTERNAL"),  # a mistake of ours
    "IX650": (404, "UNIMPLEMENTED"),  # no such path
    "IX651": (405, "UNIMPLEMENTED"),  # another method
    "IX652": (413, "RESOURCE_EXHAUSTED"),  # too large
    "IX653": (415, "INVALID_ARGUMENT"),  # a media type or an encoding that is not taken
    "IX654": (401, "UNAUTHENTICATED"),  # no token, or not one of ours
    "IX655": (403, "PERMISSION_DENIED"),  # a token without this right
    "IX656": (431, "RESOURCE_EXHAUSTED"),  # the head of the request is too large
    "IX657": (408, "DEADLINE_EXCEEDED"),  # the request came too slowly
    "IX659": (503, "UNAVAILABLE"),  # too many connections
}

REJECTED = frozenset(("IX643", "IX645", "IX642"))
CANCELLED = frozenset(("IX644", "IX646"))


class ServingError(RuntimeInputError):
    """IX63x to IX65x: a request that cannot be answered. `input` names the tensor it is about, if it is about one.

    retry_after: seconds after which another attempt makes sense; None where it makes none.
    """

    def __init__(
        self, code: str, message: str, *, input: str | None = None, retry_after: float | None = None, **parts: Any
    ) -> None:
        super().__init__(code, message, **parts)
        self.input, self.retry_after = input, retry_after


def http_status(error: InterchangeError) -> int:
    """The HTTP status of an error."""
    return STATUS.get(error.code, (400, ""))[0]


def grpc_status(error: InterchangeError) -> str:
    """The name of the gRPC status of an error, a member of grpc.StatusCode."""
    return STATUS.get(error.code, (0, "INVALID_ARGUMENT"))[1]


def reason_of(error: InterchangeError) -> str:
    """Why a request failed, in the words that Triton's metrics have for it."""
    return "REJECTED" if error.code in REJECTED else "CANCELED" if error.code in CANCELLED else "OTHER"


def body_of(error: InterchangeError) -> dict[str, Any]:
    """The body that tells of an error: ``error`` is the text that the protocol asks for, beside its parts.

    Several problems of one request are all told: ``problems`` lists them. No path of the machine is in it.
    """
    problems = error.problems if isinstance(error, InputsError) else [error]
    first = problems[0]
    body = _parts(first) | {"code": error.code}
    if len(problems) > 1:
        body["problems"] = [_parts(p) for p in problems]
    body["error"] = text_of(error)
    return body


def text_of(error: InterchangeError) -> str:
    """One line: the message, what was found and expected, the fix."""
    problems = error.problems if isinstance(error, InputsError) else [error]
    return "; ".join(_sentence(p) for p in problems)


def _sentence(error: InterchangeError) -> str:
    parts = (("found", error.found), ("expected", error.expected), ("fix", error.fix))
    return f"{error.code}: {error.message}" + "".join(f"; {k}: {_one_line(v)}" for k, v in parts if v)


def _parts(error: InterchangeError) -> dict[str, Any]:
    parts = {"code": error.code, "message": error.message, "input": getattr(error, "input", None)}
    parts |= {k: v and _one_line(v) for k, v in (("found", error.found), ("expected", error.expected))}
    return {k: v for k, v in (parts | {"fix": error.fix and _one_line(error.fix)}).items() if v}


def _one_line(text: str) -> str:
    return " ".join(text.split())
