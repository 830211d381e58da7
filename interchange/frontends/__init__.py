"""Frontends: each turns a model of one library into a graph over the vocabulary. `capture` finds the right one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from interchange.dims import Guard, Spec
from interchange.dtypes import Array
from interchange.errors import ConvertError, UsageError
from interchange.graph.core import ModelIR, Value

Arrays = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a source model that was run: its result, and the value of the graph that stands for it."""

    value: str
    op: str
    module: str
    line: str | None
    array: Array


@dataclass(slots=True)
class Captured:
    """A model as a graph, and what is needed to prove it.

    inputs: name -> Spec of each input. example: arrays for the inputs as the user gave them (may be empty).
    reference: runs the source model on named arrays and returns the named outputs, state updates included, leaving the
    source as it was. guards, dims: under which sizes the graph is right. state: initializer -> output of each update.
    random: operators that draw random numbers, each with its line: such a model cannot be compared.
    steps: runs the source on arrays step by step; a graph with every step's result as an output, and the results.
    keep: the parameters, which stay under their names. modules: path -> module of the source.
    """

    model: ModelIR
    inputs: dict[str, Spec]
    example: Arrays
    reference: Callable[[Arrays], Arrays]
    guards: list[Guard] = field(default_factory=list)
    dims: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    keep: list[Value] = field(default_factory=list)
    modules: dict[str, Any] = field(default_factory=dict)
    signature: Any = None
    source: dict[str, Any] = field(default_factory=dict)
    random: list[str] = field(default_factory=list)
    steps: Callable[[Arrays], tuple[ModelIR, Iterable[Step]]] | None = None


def capture(
    model: Any, inputs: Any, *, dynamic: Any, opset: int, output_names: Any = None, options: Mapping[str, Any]
) -> Captured:
    """Capture `model` with the frontend that knows its type. Raises ConvertError IX901 when none does, IX920 for a
    program of PyTorch where PyTorch is not installed.
    """
    if isinstance(model, type):
        raise ConvertError(
            "IX901",
            f"{model.__name__} is a class, not a model",
            found=f"the class {model.__qualname__}",
            expected="an instance of it",
            fix=f"make one first: {model.__name__}(...)",
        )
    if _is_torch(model, inputs):
        if find_spec("torch") is None:
            raise no_torch(os.fspath(model))
        from interchange.frontends.torch import capture_torch

        _refuse_options(options, ("weights",))
        return capture_torch(model, inputs, dynamic=dynamic, opset=opset, output_names=output_names, **options)
    library = type(model).__module__.partition(".")[0]
    if library in ("keras", "tensorflow", "jax", "flax", "sklearn"):
        raise ConvertError(
            "IX901",
            f"there is no frontend for {library} models",
            found=f"{type(model).__module__}.{type(model).__qualname__}",
            expected="an interchange.eager.nn.Module, a torch.nn.Module, or a function of tensors",
            fix="build the model with interchange.eager",
        )
    if callable(model):
        from interchange.frontends.eager import capture_eager

        _refuse_options(options, ("specialise",))
        return capture_eager(model, inputs, dynamic=dynamic, opset=opset, output_names=output_names, **options)
    raise ConvertError(
        "IX901",
        f"a {type(model).__name__} is not a model",
        found=type(model).__name__,
        expected="an interchange.eager.nn.Module, a torch.nn.Module, or a function of tensors",
        fix="pass the model itself, not its class, its name or its weights",
    )


def _is_torch(model: Any, inputs: Any) -> bool:
    """Whether it is a module of PyTorch, a captured program or its file, or a function of torch tensors: it is given
    some, or its code names torch. Where torch was not imported there can be none but a file.
    """
    if is_program(model):
        return True
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    if isinstance(model, torch.nn.Module):
        return True
    from interchange.eager.nn import Module

    if isinstance(model, Module):
        return False
    return _names_torch(model) or any(isinstance(x, torch.Tensor) for x in torch.utils._pytree.tree_leaves(inputs))


def _names_torch(function: Any) -> bool:
    """Whether the code of a function uses torch or a part of it by name: ``torch.relu(x)``, ``F.pad(x, ...)``."""
    names = getattr(getattr(function, "__code__", None), "co_names", ())
    used = (function.__globals__.get(n) for n in names)
    return any(f"{getattr(x, '__module__', None) or getattr(x, '__name__', '')}.".startswith("torch.") for x in used)


def is_program(model: Any) -> bool:
    """Whether it is a captured program of PyTorch, or the ``.pt2`` file of one: it brings its own inputs."""
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model).endswith(".pt2")
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.export.ExportedProgram)


def no_torch(where: str) -> ConvertError:
    """The error for a model of PyTorch where PyTorch is not installed."""
    return ConvertError(
        "IX920",
        "this is a model of PyTorch, which is not installed here",
        where=where,
        found="no package torch",
        expected="torch 2.13 or newer",
        fix="pip install interchange[torch]",
    )


def _refuse_options(options: Mapping[str, Any], known: Sequence[str]) -> None:
    unknown = ", ".join(sorted(options.keys() - set(known)))
    if unknown:
        raise UsageError(
            "IX808",
            f"this frontend has no option {unknown}",
            found=unknown,
            expected=", ".join([*known, "or no options"] if known else ["no options"]),
            fix="leave it out, or correct the spelling",
        )
