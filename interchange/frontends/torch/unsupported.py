"""Everything of a model that cannot be lowered, told at once."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from interchange.dtypes import name_of
from interchange.errors import ConvertError, InterchangeError, Lines, line_text
from interchange.frontends.torch.sizes import Sizes
from interchange.frontends.torch.weights import dtype_of

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
_NOT_THE_USERS = (os.path.dirname(torch.__file__) + os.sep, f"torch{os.sep}", _PACKAGE + os.sep, "<")
_FRAME = re.compile(r'File "(.*?)", line (\d+), in (\S+)')


@lru_cache(maxsize=4096)
def _line_in(trace: str) -> str | None:
    frames = _FRAME.findall(trace)
    own = [f for f in frames if not f[0].startswith(_NOT_THE_USERS)]
    if not own:
        return None
    path, line, function = own[-1]
    return line_text(path, int(line), function)


def line_of(node: Any) -> str | None:
    """``model.py:12 in forward``: the user's line that a captured node comes from."""
    trace = node.meta.get("stack_trace")
    return _line_in(trace) if trace else None


def module_of(node: Any) -> str:
    """The dotted path of the module that a captured node belongs to; empty for the model itself."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return ""
    path = next(reversed(stack.values()))[0]
    return "" if path.startswith("_empty_nn_module_stack") else str(path)


def place_of(node: Any) -> str:
    """Where a captured node comes from: the user's line, or the module if none of the user's code was involved."""
    module = module_of(node)
    return line_of(node) or (f"module {module}" if module else "the model itself")


def operator_of(node: Any) -> str:
    """The operator whose result a captured node is, also where it picks one of several results."""
    while getattr(node.target, "__name__", "") == "getitem":
        node = node.args[0]
    return str(node.target)


def described(value: Any, sizes: Sizes) -> str:
    """An argument as a person reads it: ``float32[batch, 3]``, ``2``, ``[1, 1]``."""
    value = getattr(value, "meta", {}).get("val", value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(described(v, sizes) for v in value)}]"
    if hasattr(value, "shape"):
        dims = ", ".join(_size(d, sizes) for d in value.shape)
        try:
            return f"{name_of(dtype_of(value.dtype))}[{dims}]"
        except InterchangeError:
            return f"{value.dtype}[{dims}]"
    return _size(value, sizes)


def _size(value: Any, sizes: Sizes) -> str:
    try:
        return str(sizes.size(value)) if isinstance(value, torch.SymInt) else str(value)
    except InterchangeError:
        return str(value)


@dataclass(frozen=True, slots=True)
class Unsupported:
    """One node that has no lowering, or whose lowering refused it. why: None where there is no lowering at all."""

    op: str
    module: str
    line: str | None
    arguments: str
    why: InterchangeError | None


def problem(node: Any, why: InterchangeError | None, sizes: Sizes) -> Unsupported:
    """What is known of a node that cannot be lowered."""
    named = (f"{k}={described(v, sizes)}" for k, v in node.kwargs.items())
    arguments = ", ".join([*(described(a, sizes) for a in node.args), *named])
    return Unsupported(str(node.target), module_of(node), line_of(node), arguments, why)


def refusal(problems: Sequence[Unsupported]) -> InterchangeError:
    """ConvertError IX921 that lists every op: how often, where first, with what, why, and what to do."""
    by_op: dict[tuple[str, str | None], list[Unsupported]] = {}
    for p in problems:
        by_op.setdefault((p.op, p.why.message if p.why else None), []).append(p)
    lines, fixes = [], []
    for (op, why), found in by_op.items():
        first = found[0]
        count = f"{len(found)} times, first " if len(found) > 1 else ""
        module = f" in {first.module}" if first.module else ""
        lines.append(f"{op} ({count}at {first.line or 'a line that PyTorch does not tell'}{module}: {first.arguments})")
        if first.why is not None:
            found_there = f": {first.why.found}" if first.why.found else ""
            lines.append(f"  {first.why.code}: {why}{found_there}")
        if first.why is not None and first.why.fix:
            fixes.append(f"{op}: {first.why.fix}")
    unknown = sorted({p.op for p in problems if p.why is None})
    if unknown:
        fixes.append(
            f"write the lowering of {', '.join(unknown)}: @interchange.frontends.torch.lower(name), three lines "
            "(docs/pytorch.md), or use other operations"
        )
    places = list(dict.fromkeys(p.line for p in problems if p.line))
    return ConvertError(
        "IX921",
        f"{len(by_op)} operator{'s' if len(by_op) > 1 else ''} of the model cannot be exported",
        where="; ".join(places[:5]) or None,
        found=Lines.of(lines),
        expected="operators that have a lowering for these dtypes and shapes",
        fix=Lines.of(fixes) or None,
    )
