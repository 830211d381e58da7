"""Checking a file in a child process: a file that kills, fills or stops its reader is a finding, and not our end."""

from __future__ import annotations

import atexit
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from interchange import errors
from interchange.checker.report import Finding, Report, Where
from interchange.checker.worker import receive, send
from interchange.errors import FileError, InterchangeError
from interchange.graph.limits import Limits
from interchange.schemas.registry import registered

_SENT = 1 << 24  # bytes of a model that are sent; more go through a file
_GRACE = 1.0  # seconds: for the way there and back
_START_SECONDS = 60.0  # until a new child is ready, at most

_START = "import sys; sys.path[:] = {path!r}; from interchange.checker.worker import main; main()"


class _Child:
    """One process, kept for the next check. pid: of the process it belongs to (a fork gets a child of its own)."""

    def __init__(self) -> None:
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START.format(path=[p for p in sys.path if isinstance(p, str)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads},
            start_new_session=True,  # Ctrl-C is for us: we close it
        )
        if self._receive(_START_SECONDS)[0] is None:  # it says that it is ready
            self.close()
            raise _no_child(f"it ended with status {self.process.returncode}; what it said stands above")

    def ask(self, request: Mapping[str, Any], data: bytes, seconds: float) -> tuple[Any, bool]:
        """(its answer, or None if it died; whether its time was up)."""
        with suppress(OSError):  # it died: there will be no answer
            send(self._pipe(self.process.stdin), request, data)
        return self._receive(seconds + _GRACE)

    def _receive(self, seconds: float) -> tuple[Any, bool]:
        late = threading.Event()

        def stop() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            return receive(self._pipe(self.process.stdout)), late.is_set()
        except (OSError, ValueError):  # it died in the middle of its answer
            return None, late.is_set()
        finally:
            timer.cancel()

    def _pipe(self, stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None
        return stream

    def close(self) -> None:
        """End it."""
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # what was on its way to a dead child
                self._pipe(stream).close()
        if self.owner == os.getpid():
            try:
                self.process.wait(_GRACE)  # it ends when its input does; its own end tells what happened
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


_lock = threading.Lock()
_kept: _Child | None = None


def possible(isolate: bool | None) -> bool:
    """Whether to check in a child: as asked for; by default, unless a rule stands where a child cannot find it."""
    if isolate is not None:
        return isolate
    return bool(sys.executable) and "__main__" not in _modules()


def _modules() -> list[str]:
    """The modules of the user's own rules."""
    from interchange.checker.rule import RULES

    homes = {rule.look.__module__ for rule in RULES.values()}
    return sorted(h for h in homes if not h.startswith("interchange."))


def look(model: str | bytes, name: str, options: Mapping[str, Any]) -> Report:
    """`engine.look` in a child process. model: an absolute path, or bytes. Raises what that raises."""
    if isinstance(model, bytes) and len(model) > _SENT:
        with tempfile.NamedTemporaryFile() as file:
            file.write(model)
            file.flush()
            return _look(file.name, b"", "mapped", name, options)
    if isinstance(model, bytes):
        return _look("", model, "sent", name, options)
    return _look(model, b"", "path", name, options)


def _look(path: str, data: bytes, form: str, name: str, options: Mapping[str, Any]) -> Report:
    """form: whether the model is the file at `path`, with data files beside it, its bytes alone, or `data`."""
    limits = options["limits"]
    request = {
        **options,
        "name": name,
        "path": path,
        "form": form,
        "size": len(data),
        "limits": dataclasses.asdict(limits),
        "modules": _modules(),
        "operators": registered(),
    }
    with _lock:
        answer, late, death = _ask(request, data, limits.seconds)
        end = _end(answer, name, late, death, limits)
        if end is not None:  # what can be said without types and shapes, which most such models are made for
            answer, _, _ = _ask({**request, "types": False}, data, limits.seconds)
    if end is not None:
        rest = Report.from_dict(answer["report"]) if answer is not None and "report" in answer else Report(name)
        return dataclasses.replace(rest, file=name, findings=(end, *rest.findings))
    if "mistake" in answer:
        raise RuntimeError(f"in the process that checks models:\n{answer['mistake']}")
    if "error" in answer:
        kind = getattr(errors, answer.pop("error"), InterchangeError)
        raise kind(answer.pop("code"), answer.pop("message"), **answer)
    return Report.from_dict(answer["report"])


def _ask(request: Mapping[str, Any], data: bytes, seconds: float) -> tuple[Any, bool, int]:
    global _kept
    child = _kept
    if child is None or child.owner != os.getpid() or child.process.poll() is not None:
        if child is not None:
            child.close()
        _kept = None
        try:
            child = _kept = _Child()
        except OSError as error:
            raise _no_child(f"{type(error).__name__}: {error}") from None
    try:
        answer, late = child.ask(request, data, seconds)
    except BaseException:  # Ctrl-C: its answer is still on the way, and would be taken for that to the next question
        _kept = None
        child.process.kill()
        child.close()
        raise
    if answer is None or answer.pop("last"):
        child.close()
        _kept = None
    return answer, late, child.process.returncode or 0


def _after_fork() -> None:
    """In a process that was forked: another thread of its parent may have held the lock, and is not here."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def close() -> None:
    """End the child that is kept for the next check; the next one starts another."""
    global _kept
    with _lock:
        if _kept is not None:
            _kept.close()
            _kept = None


def _no_child(found: str) -> FileError:
    return FileError(
        "IX323",
        "the process in which files are checked does not start",
        where=str(sys.executable),
        found=found,
        expected="a Python that can import interchange, at sys.executable",
        fix="correct sys.executable; or check in this process: check(model, isolate=False), or --no-isolation",
    )


def _end(answer: Any, name: str, late: bool, code: int, limits: Limits) -> Finding | None:
    """What ended the check of a model before it was through; None if nothing did."""
    if answer is not None:
        return _out_of_memory(name, limits.memory) if "memory" in answer else None
    seconds = limits.seconds
    if late:
        return Finding(
            "IX599",
            "error",
            "the check of this model does not come to an end",
            Where(file=name),
            found=f"no result after {seconds} seconds",
            expected=f"a model that is looked through in {seconds} seconds (the limit `seconds`)",
            why="it would stop whoever loads it",
            fix="do not load it; if it is yours and large, raise the limit: check(model, limits={'seconds': 600})",
        )
    ended = signal.Signals(-code).name if code < 0 and -code in set(signal.Signals) else f"exit status {code}"
    return Finding(
        "IX598",
        "error",
        "the model kills the process that checks it",
        Where(file=name),
        found=ended,
        expected="a model that can be looked at",
        why="it would kill whoever loads it",
        fix="do not load it; if it is yours, export it again, and tell the makers of onnx",
    )


def _out_of_memory(name: str, memory: int) -> Finding:
    return Finding(
        "IX598",
        "error",
        "the model fills the memory of the process that checks it",
        Where(file=name),
        found=f"more than {memory >> 20} MiB",
        expected=f"at most {memory >> 20} MiB (the limit `memory`)",
        why="it would fill the memory of whoever loads it",
        fix="do not load it; if it is yours, raise the limit: check(model, limits={'memory': bytes})",
    )
