"""Every error of interchange, and how it reads.

    InterchangeError
    ├── OperatorError     IX1xx  an operator was called with inputs it does not take
    ├── TraceError        IX2xx  a model cannot be traced or exported as asked
    ├── FileError         IX3xx  a file cannot be read or written; a graph is malformed
    ├── SchemaError       IX4xx  an operator is not in the registry, or a user's operator file is wrong
    ├── CheckError        IX5xx  a checked model has findings (the findings carry the codes)
    ├── RuntimeInputError IX6xx  a loaded model was fed something it does not take
    ├── VerifyError       IX7xx  a model and its source disagree
    ├── UsageError        IX8xx  a command or a function was asked for something it does not offer
    └── ConvertError      IX9xx  a foreign model cannot be converted (frontends and importers)

Each error has a stable code, the place, what was found, what was expected and a fix. `docs/errors/` has a section
for each code with a broken example and its repair; the test-suite runs them all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import Any

_HERE = os.path.dirname(__file__)
# our own code (schemas/ and cli/ lie beside the package in a checkout), and what Python generates
_OURS = (
    *(os.path.join(os.path.dirname(_HERE), name, "") for name in ("interchange", "schemas", "cli")),
    "<frozen",
    "<__array_function__",
)


_kinds: dict[str, str] = {}  # file name -> whose code it is: a frame is looked at for every node of a trace


def is_ours(filename: str) -> bool:
    """Whether a file of code is interchange's own."""
    return filename.startswith(_OURS)


def _kind(frame: FrameType) -> str:
    if frame.f_globals.get("__name__", "").startswith("interchange.cli."):
        return "command"
    return "ours" if is_ours(frame.f_code.co_filename) else "user"


def user_frame() -> FrameType | None:
    """The innermost frame that runs code which is not interchange's own; None where a command runs none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        kind = _kinds.get(name)
        if kind is None:
            kind = _kinds[name] = _kind(frame)
        if kind != "ours":
            return frame if kind == "user" else None
        frame = frame.f_back
    return None


def user_line() -> str | None:
    """``model.py:12 in forward``: the user's line that is being executed, without a path of the machine."""
    frame = user_frame()
    if frame is None:
        return None
    return line_text(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def line_text(filename: str, line: int, function: str) -> str:
    """``model.py:12 in forward``: a line of code without a path of the machine."""
    return f"{os.path.basename(filename)}:{line} in {function}"


def printable(text: str) -> str:
    """`text` with control characters escaped, but for the ends of its lines: a name from a file never reaches a
    terminal raw. For text that is laid out in lines whose parts went through `one_line`."""
    return text if text.isprintable() else "\n".join(map(one_line, text.split("\n")))


def one_line(text: str) -> str:
    """`text` on one line: ends of lines, control characters and marks that turn the direction of writing are escaped,
    so that a name can neither forge a line or a colour nor be read backwards."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Lines(str):
    """A part of an error that is several lines by intention: `Lines.of` escapes each and keeps the breaks between."""

    __slots__ = ()

    @classmethod
    def of(cls, lines: Iterable[str]) -> Lines:
        """The lines one below the other, where an error's parts begin."""
        return cls(("\n" + " " * 12).join(map(one_line, lines)))


class InterchangeError(Exception):
    """The base of all errors. `str(error)` is the whole report; the parts are attributes.

    code: the stable code, ``IX123``.  message: one sentence.  where: node, value, file or the user's line.
    found, expected: both sides of the disagreement.  fix: what to do about it. Each is shown on one line, whatever is
    in it; several lines are `Lines`.
    """

    exit_code = 2

    def __init__(
        self,
        code: str,
        message: str,
        *,
        where: str | None = None,
        found: str | None = None,
        expected: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.code, self.message = code, message
        self.where, self.found, self.expected, self.fix = where, found, expected, fix
        super().__init__(code, message)

    def __str__(self) -> str:
        parts = [("where", self.where), ("found", self.found), ("expected", self.expected), ("fix", self.fix)]
        told = [(k, v if isinstance(v, Lines) else one_line(str(v))) for k, v in parts if v]
        return "\n".join([f"{self.code}: {one_line(self.message)}", *(f"  {k + ':':<10}{v}" for k, v in told)])

    def to_dict(self) -> dict[str, Any]:
        """The parts as plain data, for ``--json``."""
        return {k: getattr(self, k) for k in ("code", "message", "where", "found", "expected", "fix")}


class ProblemsError(InterchangeError):
    """Several things that are wrong, told at once. The code is that of the first.

    problems: each by itself.
    """

    def __init__(self, problems: Sequence[InterchangeError]) -> None:
        self.problems = tuple(problems)
        first = problems[0]
        super().__init__(
            first.code, first.message, where=first.where, found=first.found, expected=first.expected, fix=first.fix
        )

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems)) if len(self.problems) > 1 else super().__str__()

    def to_dict(self) -> dict[str, Any]:
        """The parts as plain data, with the single problems."""
        return {**super().to_dict(), "problems": [p.to_dict() for p in self.problems]}


class OperatorError(InterchangeError, ValueError):
    """IX1xx: an operator was called with inputs it does not take."""


class PositionError(OperatorError, IndexError):
    """IX1xx: an axis or an index is out of range; also an IndexError, as Python's sequences raise."""


class TraceError(InterchangeError):
    """IX2xx: a model cannot be traced or exported as asked."""


class FileError(InterchangeError):
    """IX3xx: a file cannot be read or written, or a graph is malformed."""


class SchemaError(InterchangeError):
    """IX4xx: an operator is not in the registry, or a user's operator file is wrong."""


class CheckError(InterchangeError):
    """IX5xx: a checked model has findings."""

    exit_code = 1


class RuntimeInputError(InterchangeError, ValueError):
    """IX6xx: a loaded model was fed something it does not take."""


class VerifyError(InterchangeError):
    """IX7xx: a model and its source disagree."""

    exit_code = 1


class UsageError(InterchangeError):
    """IX8xx: a command or a function was asked for something it does not offer."""


class ConvertError(InterchangeError):
    """IX9xx: a foreign model cannot be converted."""
