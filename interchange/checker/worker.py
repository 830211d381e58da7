"""The child process in which files are checked: it takes one request after another, under limits, until it is closed.

Requests and answers are frames: four bytes of length and JSON, a request followed by the bytes of the model, if it is
not a path. JSON, so that a child which a file has taken over can say nothing but text.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from interchange.checker.engine import look
from interchange.checker.rule import load_rules
from interchange.collecting import few_collections
from interchange.errors import InterchangeError
from interchange.graph import opening
from interchange.graph.external import map_file
from interchange.graph.limits import DEFAULT, Limits


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
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    with suppress(OSError):  # closed, as our parent's is
        os.dup2(2, nothing)
    os.dup2(nothing, 1)  # what a library prints goes to the parent's stderr, not between the frames
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # and what a rule reads is no request
    _warm_up()
    send(answers, {"ready": True})
    while (request := receive(requests)) is not None:
        path, form, size = request.pop("path"), request.pop("form"), request.pop("size")
        model = path if form == "path" else _mapped(path) if form == "mapped" else requests.read(size)
        answer = _answer(model, request)
        # what one large model leaves behind shall not count for the next: the parent starts another child then
        send(answers, {**answer, "last": _held("VmRSS") > request["limits"]["memory"] // 4})


def _warm_up() -> None:
    """Import all that a check imports, before there is a limit that an import could meet."""
    import onnx

    value = onnx.helper.make_tensor_value_info("x", 1, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["x"], ["x1"])], "warm up", [value], [])
    options: dict[str, Any] = dict.fromkeys(("target", "select", "ignore"))
    look(
        opening.in_memory(onnx.helper.make_model(graph)),
        **options,
        name="",
        trust_links=False,
        deny=(),
        scan_weights=False,
        lints=False,
        limits=DEFAULT,
    )


def _mapped(path: str) -> memoryview:
    with open(path, "rb") as file:
        return map_file(file.fileno())


def _answer(model: str | bytes | memoryview, request: dict[str, Any]) -> dict[str, Any]:
    for name in request.pop("modules"):
        load_rules(f"the module of rules {name}", partial(importlib.import_module, name))
    _register(request.pop("operators"))
    limits = Limits(**request["limits"])
    _limit(limits)
    try:
        with few_collections():
            return {"report": dataclasses.asdict(look(model, **{**request, "limits": limits}))}
    except InterchangeError as error:
        return {"error": type(error).__name__, **error.to_dict()}
    except MemoryError:
        return {"memory": True}
    except Exception:  # a mistake of ours, or of a rule of the user: shown where the check was asked for
        return {"mistake": traceback.format_exc()}


def _register(operators: list[dict[str, Any]]) -> None:
    """Know the operators that the parent's user registered, and no others."""
    from interchange import schemas
    from interchange.schemas.registry import registered

    for known in registered():
        schemas.unregister(known["name"], known["domain"], known["since"])
    for operator in operators:
        schemas.register(**operator)


def _limit(limits: Limits) -> None:
    """Limits of this process; where the system has none, the parent's clock is the only one."""
    try:
        import resource
    except ImportError:
        return
    memory = limits.memory + _held("VmData")
    used = resource.getrusage(resource.RUSAGE_SELF)
    # the parent has the clock; this ends a child whose parent was killed
    seconds = int(used.ru_utime + used.ru_stime) + 2 * limits.seconds + 5
    wanted = {
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY or value <= hard:
            with suppress(ValueError, OSError):  # a container that forbids it has limits of its own
                resource.setrlimit(kind, (value, hard))


def _held(what: str) -> int:
    """``VmRSS``: the memory this process holds; ``VmData``: what it has asked for; in bytes, 0 where nobody says."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(f"{what}:")), 0)
