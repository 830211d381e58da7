"""Plain attributes of modules that `forward` assigns: a state that a graph would not carry.

Variables are the state that is exported. A tensor in a plain attribute is a constant of the graph; what `forward` puts
there must not stay behind when it was only traced, and must not be lost in silence when a later call would read it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interchange.eager import nn
from interchange.eager.tensor import Tensor, Variable
from interchange.eager.traced import Traced
from interchange.errors import TraceError

Saved = list[tuple[nn.Module, dict[str, Any]]]
_MISSING = object()


def snapshot(model: object) -> Saved:
    """The attributes of a model's modules as they are now."""
    return [(m, dict(vars(m))) for m in model.modules()] if isinstance(model, nn.Module) else []


def put_back(saved: Saved) -> None:
    """Undo assignments of tensors, numbers and None to plain attributes."""
    for module, before in saved:
        for name, value in list(vars(module).items()):
            old = before.get(name, _MISSING)
            if value is old or not _plain(value) or isinstance(old, (Variable, nn.Module)):
                continue
            if old is _MISSING:
                del vars(module)[name]
            else:
                vars(module)[name] = old


def refuse_state(saved: Saved, read: Callable[[Tensor], bool]) -> None:
    """Raise TraceError IX213 where the trace replaced a tensor that it had read: the next call would read the new one.

    read: whether a tensor became a constant of the graph. One that is only replaced is kept for somebody to look at.
    """
    for module, before in saved:
        for name, old in before.items():
            new = vars(module).get(name)
            if new is old or not isinstance(old, Tensor) or not isinstance(new, Tensor) or isinstance(old, Variable):
                continue
            if not isinstance(new, Traced) or read(old):
                kind = type(module).__name__
                raise TraceError(
                    "IX213",
                    f"{kind}.{name} changes with every call, and the exported model would not keep it",
                    where=kind,
                    found=f"a plain tensor that forward reads and replaces by {new.dtype.name}{list(new.shape)}",
                    expected="a Buffer, which is exported as state",
                    fix=f"in __init__ write self.{name} = Buffer(...), in forward self.{name}.assign(value)",
                )


def _plain(value: object) -> bool:
    return (
        value is None
        or isinstance(value, (bool, int, float))
        or (isinstance(value, Tensor) and not isinstance(value, Variable))
    )
