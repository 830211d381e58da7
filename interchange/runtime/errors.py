"""The errors of loading and running. Input errors come all at once, in one `InputsError`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interchange.errors import InterchangeError, Lines, RuntimeInputError, user_line


class LoadError(InterchangeError):
    """IX620 to IX629: the runtime cannot load a model."""


class RunError(InterchangeError):
    """IX611: the runtime failed while it ran a model."""


class InputsError(RuntimeInputError):
    """What a model was fed does not fit it.

    problems: each by itself. The code is that of the first.
    """

    def __init__(self, problems: Sequence[RuntimeInputError]) -> None:
        self.problems = tuple(problems)
        first = problems[0]
        if len(problems) == 1:
            message, found, expected, fix = first.message, first.found, first.expected, first.fix
        else:
            message = f"the inputs do not fit the model: {len(problems)} problems"
            found = Lines.of(f"{p.code}: {p.message}: found {p.found}" for p in problems)
            expected = Lines.of(dict.fromkeys(p.expected or "" for p in problems))
            fix = Lines.of(dict.fromkeys(p.fix or "" for p in problems))
        super().__init__(first.code, message, where=user_line(), found=found, expected=expected, fix=fix)

    def to_dict(self) -> dict[str, Any]:
        """The parts as plain data, with the single problems."""
        return {**super().to_dict(), "problems": [p.to_dict() for p in self.problems]}


class InputError(RuntimeInputError):
    """One thing that is wrong with the inputs. input: the one it is about; None where it is about several."""

    input: str | None = None


def problem(code: str, message: str, found: str, expected: str, fix: str, input: str | None = None) -> InputError:
    """One thing that is wrong with the inputs, or with one of them."""
    error = InputError(code, message, found=found, expected=expected, fix=fix)
    error.input = input
    return error
