"""The child process in which files are checked: it takes one request after another, under limits, until it is closed.

Requests and answers are frames: four bytes of length and JSON, a request followed by the bytes of the model, if it is
not a path. JSON, so that a child which a file has taken over can say nothing but text.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from interchange.checker.engine import look
from interchange.errors import InterchangeError
from interchange.graph.limits import Limits


def send(stream: IO[bytes], message: Any, data: bytes = b"") -> None:
    """Write one frame."""
    text = json.dumps(message).encode()
    stream.write(len(text).to_bytes(4, "big") + text + data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one frame; None at the end of the stream."""
    head = stream.read(4)
    text = stream.read(int.from_bytes(head, "big")) if len(head) == 4 else b""
    return json.loads(text) if text else None


def main() -> None:
    """Serve on standard input and output, until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints goes to the parent's stderr, not between the frames
    while (request := receive(sys.stdin.buffer)) is not None:
        path, size = request.pop("path"), request.pop("size")
        model = path if size is None else sys.stdin.buffer.read(size)
        answer = _answer(model, request)
        # what one large model leaves behind shall not count for the next: the parent starts another child then
        send(answers, {**answer, "last": _resident() > request["limits"]["memory"] // 4})


def _answer(model: str | bytes, request: dict[str, Any]) -> dict[str, Any]:
    for name in request.pop("modules"):
        importlib.import_module(name)
    _register(request.pop("operators"))
    limits = Limits(**request["limits"])
    _limit(limits)
    try:
        return {"report": dataclasses.asdict(look(model, **{**request, "limits": limits}))}
    except InterchangeError as error:
        return {"error": type(error).__name__, **error.to_dict()}
    except MemoryError:
        return {"memory": True}
    except Exception:  # a mistake of ours, or of a rule of the user: shown where the check was asked for
        return {"mistake": traceback.format_exc()}


def _register(operators: list[dict[str, Any]]) -> None:
    from interchange import schemas

    for operator in operators:
        schemas.register(replace=True, **operator)


def _limit(limits: Limits) -> None:
    """Limits of this process; where the system has none, the parent's clock is the only one."""
    try:
        import resource
    except ImportError:
        return
    for kind, value in ((resource.RLIMIT_DATA, limits.memory), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)):
        _, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY or value <= hard:
            with suppress(ValueError, OSError):  # a container that forbids it has limits of its own
                resource.setrlimit(kind, (value, hard))


def _resident() -> int:
    """The memory this process holds, in bytes; 0 where the system does not say it in this way."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
