"""Finding a model that the command line names, and what is said of its inputs and weights."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from interchange.errors import InterchangeError, UsageError, is_ours

_OPTIONS = (
    click.option(
        "--input",
        "inputs",
        multiple=True,
        metavar="SHAPE",
        help='An input as "x: float32[batch, 3]"; once for each. Replaces the inputs that a factory returns.',
    ),
    click.option(
        "--dynamic",
        multiple=True,
        metavar="AXES",
        help='The sizes of an example that vary, as "x: batch, _, time" (_ is fixed); once for each input. Or "auto".',
    ),
    click.option(
        "--dim", "dims", multiple=True, metavar="BOUNDS", help='The least and greatest size of a name: "batch=1..64".'
    ),
    click.option(
        "--weights",
        type=click.Path(dir_okay=False),
        help="Put the weights of this .safetensors file or checkpoint into the PyTorch model first.",
    ),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A model that the command line names. inputs, dynamic, options: as for `interchange.export`."""

    model: Any
    inputs: Any = None
    dynamic: Any = None
    options: dict[str, Any] = field(default_factory=dict)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that takes a source model: --input, --dynamic, --dim, --weights."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def find_source(
    text: str | None, inputs: tuple[str, ...], dynamic: tuple[str, ...], dims: tuple[str, ...], weights: str | None
) -> Source:
    """The model of that name, with what the options say of it. text: None if there is no model but in the file.

    Raises UsageError IX802, IX803, IX810 to IX812, IX814 to IX816.
    """
    from interchange.cli.sizes import read_bounds, read_dynamic, read_shapes, refuse_unused, with_bounds

    bounds = read_bounds(dims)
    shapes, axes = read_shapes(inputs, bounds) if inputs else None, read_dynamic(dynamic, bounds)
    model, example = (None, None) if text is None else find_model(text)
    given = shapes if inputs else with_bounds(example, bounds) if bounds else example
    refuse_unused(bounds, given, axes)
    return Source(model, given, axes, {} if weights is None else {"weights": weights})


def find_model(text: str) -> tuple[Any, Any]:
    """The model named by ``file.py:name``, ``module:name`` or ``file.pt2``, and its inputs; None if they are not known.

    Raises UsageError IX810 (not of that form), IX811 (no such file, module or name), IX812 (the user's code fails),
    ConvertError IX920 (it needs PyTorch).
    """
    if text.endswith(".pt2"):
        return text, None
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise UsageError(
            "IX810",
            f"{text!r} does not name a model",
            found=text,
            expected="path/to/file.py:name, package.module:name or a .pt2 file",
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
    return _made(found, text)


def need_inputs(source: Source, text: str) -> None:
    """Raise UsageError IX813 for a model of which nothing says what it takes."""
    from interchange.frontends import is_program

    if source.inputs is None and not hasattr(source.model, "example_inputs") and not is_program(source.model):
        raise UsageError(
            "IX813",
            f"the inputs of {text} are not known",
            found="a model without inputs",
            expected='--input "x: float32[batch, 3]", or a factory that returns (model, inputs)',
            fix="add --input for each argument of forward",
        )


def set_mode(model: Any, train: bool, text: str) -> None:
    """Put a model into train or eval mode. Raises UsageError IX817 for the train mode of what has no modes."""
    if hasattr(model, "train"):
        model.train(train)
    elif train:
        raise UsageError(
            "IX817",
            f"{text} has no train mode",
            found=type(model).__name__ if not isinstance(model, str) else "a captured program",
            expected="a module, whose mode can be set",
            fix="leave out --train; a captured program is in the mode that it was captured in",
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


def _broken(place: str, error: BaseException) -> InterchangeError:
    """The error for a user's code that fails: imported, or called as a factory or as the model."""
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        from interchange.frontends import no_torch

        return no_torch(place)
    frames = [*traceback.walk_tb(error.__traceback__)]
    own = [(f, line) for f, line in frames if not f.f_code.co_filename.startswith(_INSTALLED)] or frames
    where = f"{Path(own[-1][0].f_code.co_filename).name}:{own[-1][1]}" if own else place
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{Path(error.filename).name}:{error.lineno}"
    file = place.rpartition(":")[0] if ".py:" in place else place
    return UsageError(
        "IX812",
        f"{place} fails: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
        where=where,
        found=type(error).__name__,
        expected="code that runs",
        fix=f"run it by itself first: python {file}" if file.endswith(".py") else "import it by itself first",
    )


_INSTALLED = (*(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")), "<frozen")


@contextmanager
def users_code(place: str) -> Iterator[None]:
    """What a model's own code raises while it is exported is told as an error of that code, not of ours."""
    try:
        yield
    except InterchangeError:
        raise
    except Exception as error:  # whatever a model raises
        files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
        innermost = next((f for f in reversed(files) if not f.startswith(_INSTALLED)), "")
        if not innermost or is_ours(innermost):
            raise
        raise _broken(place, error) from error


def _made(found: Any, text: str) -> tuple[Any, Any]:
    """(model, inputs) of a model, a factory, or a pair."""
    if not _is_model(found) and callable(found) and _takes_nothing(found):
        try:
            found = found()
        except InterchangeError:
            raise
        except _FAILURES as error:
            raise _broken(text, error) from error
    if isinstance(found, tuple) and len(found) == 2:
        return found[0], found[1]
    return found, None


def _is_model(found: Any) -> bool:
    """Whether it is a model as it stands, though it may be called without arguments as a factory is."""
    from interchange.eager.nn import Module

    torch = sys.modules.get("torch")
    return isinstance(found, Module if torch is None else (Module, torch.nn.Module, torch.export.ExportedProgram))


def _takes_nothing(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a builtin does not tell: it is a function of tensors, if anything
        return False
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)
