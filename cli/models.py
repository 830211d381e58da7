"""Finding a model that the command line names, and reading ``--input``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from interchange.errors import InterchangeError, UsageError

inputs_option: Callable[[Any], Any] = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="SHAPE",
    help='An input as "x: float32[batch, 3]"; once for each. Replaces the inputs that the model\'s factory returns.',
)


def find_model(text: str, inputs: tuple[str, ...]) -> tuple[Any, Any]:
    """The model named by ``file.py:name`` or ``module:name``, and its inputs; None where they are not known.

    Raises UsageError IX810 (not of that form), IX811 (no such file, module or name), IX812 (the user's code fails).
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise UsageError(
            "IX810",
            f"{text!r} does not name a model",
            found=text,
            expected="path/to/file.py:name or package.module:name",
            fix="add a colon and the name of the model, or of a function that makes it",
        )
    module = _module(place)
    try:
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        names = [n for n, v in vars(module).items() if not n.startswith("_") and not isinstance(v, ModuleType)]
        close = get_close_matches(name, names, 1)
        raise UsageError(
            "IX811",
            f"{place} has no {name}",
            found=name,
            expected=", ".join(names[:12]) or "a name defined there",
            fix=f"did you mean {close[0]}?" if close else "check the spelling",
        ) from None
    model, example = _made(found, text)
    return model, read_shapes(inputs) if inputs else example


def need_inputs(model: Any, example: Any, text: str) -> None:
    """Raise UsageError IX813 for a model of which nothing says what it takes."""
    if example is None and not hasattr(model, "example_inputs"):
        raise UsageError(
            "IX813",
            f"the inputs of {text} are not known",
            found="a model without inputs",
            expected='--input "x: float32[batch, 3]", or a factory that returns (model, inputs)',
            fix="add --input for each argument of forward",
        )


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        if "/" in place or place.startswith("."):
            raise UsageError(
                "IX811",
                f"there is no module {place}",
                found=place,
                expected="a module that Python can import, or a path that ends in .py",
                fix=f"did you mean {place}.py?" if Path(f"{place}.py").is_file() else "write the path with its .py",
            )
        sys.path.insert(0, str(Path.cwd()))
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name and place.startswith(error.name):
                raise UsageError(
                    "IX811",
                    f"there is no module {place}",
                    found=place,
                    expected="a module that Python can import, or a path that ends in .py",
                    fix="run from the folder that holds the package, or install it",
                ) from None
            raise _broken(place, error) from error
        except _FAILURES as error:
            raise _broken(place, error) from error
        finally:
            sys.path.pop(0)
    path = Path(place)
    if not path.is_file():
        raise UsageError(
            "IX811", f"there is no file {place}", found=place, expected="a Python file", fix="check the path"
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # so that its classes can be pickled and its dataclasses resolved
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except InterchangeError:
        raise
    except _FAILURES as error:
        raise _broken(place, error) from error
    finally:
        sys.path.pop(0)
    return module


_FAILURES = (Exception, SystemExit)  # a script that ends with sys.exit() is none that can be imported


def _broken(place: str, error: BaseException) -> UsageError:
    """The error for a user's file that fails while it is imported or its factory while it is called."""
    line = error.__traceback__
    while line is not None and line.tb_next is not None:
        line = line.tb_next
    where = f"{Path(line.tb_frame.f_code.co_filename).name}:{line.tb_lineno}" if line else place
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{Path(error.filename).name}:{error.lineno}"
    file = place.rpartition(":")[0] if ".py:" in place else place
    return UsageError(
        "IX812",
        f"{place} fails: {type(error).__name__}: {error}",
        where=where,
        found=type(error).__name__,
        expected="code that runs",
        fix=f"run it by itself first: python {file}" if file.endswith(".py") else "import it by itself first",
    )


def _made(found: Any, text: str) -> tuple[Any, Any]:
    """(model, inputs) of a model, a factory, or a pair."""
    from interchange.eager.nn import Module

    if not isinstance(found, (Module, tuple)) and callable(found) and _takes_nothing(found):
        try:
            found = found()
        except InterchangeError:
            raise
        except _FAILURES as error:
            raise _broken(text, error) from error
    if isinstance(found, tuple) and len(found) == 2:
        return found[0], found[1]
    return found, None


def _takes_nothing(function: Callable[..., Any]) -> bool:
    import inspect

    parameters = inspect.signature(function).parameters.values()
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def read_shapes(inputs: tuple[str, ...]) -> dict[str, Any] | tuple[Any, ...]:
    """What the ``--input`` options say: by name, or in call order. Raises UsageError IX803, IX814."""
    from interchange.dims import parse_spec

    specs = [parse_spec(text) for text in inputs]
    if all(s.name for s in specs):
        return {str(s.name): s for s in specs}
    if any(s.name for s in specs):
        raise UsageError(
            "IX814",
            "some inputs are named and some are not",
            found="; ".join(inputs),
            expected="a name for each, or none",
            fix='write "name: dtype[dims]" for each',
        )
    return tuple(specs)
