"""Capturing a PyTorch model: torch.export, its failures told in the user's terms."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import _trace
from torch.fx.experimental import _config as symbolic_shapes
from torch.fx.experimental.symbolic_shapes import ShapeEnv, SLoc
from torch.fx.proxy import TracerBase
from torch.utils._pytree import tree_leaves

from interchange.dims import Spec
from interchange.errors import ConvertError, line_text
from interchange.frontends.torch.aliases import returns_input
from interchange.frontends.torch.sizes import equality_place, shape_environment, user_placeholders
from interchange.frontends.torch.unsupported import line_of

_LIBRARY = (os.path.dirname(torch.__file__), os.path.dirname(contextlib.__file__) + os.sep + "contextlib", "<")


@contextmanager
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """PyTorch's logs and prints off, its warnings collected: what matters of them becomes an error."""
    named = logging.Logger.manager.loggerDict.items()
    before = [(lo, lo.level) for n, lo in named if n.startswith("torch") and isinstance(lo, logging.Logger)]
    for logger, _ in before:
        logger.setLevel(logging.CRITICAL)
    _trace.print = lambda *args, **kwargs: None  # of the graph up to a failure; what the model itself prints stays
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            yield found
    finally:
        del _trace.print
        for logger, level in before:
            logger.setLevel(level)


@contextmanager
def _lines() -> Iterator[None]:
    """Guards and nodes remember the line of the user's code that they come from.

    Of itself PyTorch does that for the guards of strict captures only, and for nodes it keeps the frames of functions
    that are called forward.
    """
    sloc, frames = ShapeEnv._get_sloc, TracerBase._filter_traceback_frames

    def located(self: Any, *args: Any, **kwargs: Any) -> Any:
        place = sloc(self, *args, **kwargs)
        line = _current_line()
        return SLoc(place.framework_loc, line) if line else place

    def own(self: Any, summary: traceback.StackSummary) -> traceback.StackSummary:
        names = [f.filename for f in summary]
        start = len(names) - names[::-1].index(__file__) if __file__ in names else 0
        return traceback.StackSummary.from_list([f for f in summary[start:] if not f.filename.startswith(_LIBRARY)])

    ShapeEnv._get_sloc, TracerBase._filter_traceback_frames = located, own
    try:
        yield
    finally:
        ShapeEnv._get_sloc, TracerBase._filter_traceback_frames = sloc, frames


def _current_line() -> str | None:
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename != __file__:
        path = frame.f_code.co_filename
        if not path.startswith(_LIBRARY):
            return line_text(path, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return None


class _Function(torch.nn.Module):  # type: ignore[misc]  # to mypy torch is Any
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class Call:
    """Arguments of a model, and the names of all their leaves in the order in which PyTorch flattens them."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    names: Sequence[str]


def capture_program(model: Any, call: Call, dynamic: Mapping[int, Mapping[int, Any]], specs: Mapping[str, Spec]) -> Any:
    """The ExportedProgram (training IR) of a module or function at these example arguments.

    dynamic: id of an example tensor -> axis -> torch's Dim.DYNAMIC or Dim.AUTO.
    specs: name -> Spec of each input, to tell of sizes by the user's names.
    Raises ConvertError IX922 for what torch.export cannot capture, IX923 for a dynamic size that the model fixes.
    """
    module = model if isinstance(model, torch.nn.Module) else _Function(model)
    _refuse_meta(module)
    shapes = torch.export.ShapesCollection()
    for t in tree_leaves((call.args, call.kwargs)):
        if id(t) in dynamic:
            shapes[t] = dict(dynamic[id(t)])
    failure: Exception | None = None
    for strict in (False, True):
        try:
            with quiet() as heard, _lines(), symbolic_shapes.patch(backed_size_oblivious=True):
                program = torch.export.export(
                    module,
                    tuple(call.args),
                    dict(call.kwargs),
                    dynamic_shapes=shapes if dynamic else None,
                    strict=strict,
                )
        except Exception as error:  # whatever torch.export raises: it has no base class of its own
            failure = failure or error
            if "marked" in str(error) or isinstance(error, (TypeError, RecursionError)):
                break
            continue
        _refuse_attributes(heard)
        return program
    assert failure is not None
    raise _explained(failure, module, call, dynamic, specs) from failure


def _refuse_meta(module: Any) -> None:
    names = [n for n, t in (*module.named_parameters(), *module.named_buffers()) if t.is_meta]
    if names:
        raise ConvertError(
            "IX925",
            "the model has no weights: it is on the meta device",
            found=", ".join(names[:5]) + (", ..." if len(names) > 5 else ""),
            expected="parameters with data",
            fix='pass options={"weights": path} with a .safetensors file or a checkpoint',
        )


def _instance_norm(x: Any, weight: Any, bias: Any, mean: Any, var: Any, *rest: Any) -> Any:
    """Instance normalisation as ATen computes it, by a batch norm with each channel of each sample as a channel.

    Left whole it would go on writing into its statistics.
    """
    n, c = x.shape[:2]
    each: list[Any] = [None if t is None else t.repeat(n) for t in (weight, bias, mean, var)]
    result = torch.batch_norm(x.reshape(1, n * c, *x.shape[2:]), *each, *rest)
    for old, new in zip((mean, var), each[2:], strict=True):
        if old is not None:
            old.copy_(new.view(n, c).mean(0))
    return result.view(x.shape)


def functional(program: Any) -> Any:
    """The program without writes into memory, as PyTorch rewrites it; composite operators stay whole."""
    for node in program.graph.nodes:  # what gives back its input is a view of it, which only its schema does not know
        if node.op == "call_function" and returns_input(node):
            node.target, node.args, node.kwargs = torch.ops.aten.alias.default, node.args[:1], {}
    with quiet(), symbolic_shapes.patch(backed_size_oblivious=True):
        return program.run_decompositions({torch.ops.aten.instance_norm.default: _instance_norm})


_ATTRIBUTE = re.compile(r"self(?:\.\w+|\[[^\]]*\])+")


def _refuse_attributes(heard: Sequence[warnings.WarningMessage]) -> None:
    """A tensor that forward puts into a plain attribute would be lost: ConvertError IX924."""
    for w in heard:
        text = str(w.message)
        if "assigned during export" in text:
            names = [n for n in _ATTRIBUTE.findall(text) if "._flat_weights" not in n]  # of RNNs: the parameters again
            if not names:
                continue
            raise ConvertError(
                "IX924",
                "forward assigns a tensor to an attribute of the module, and an exported model would not keep it",
                found=", ".join(dict.fromkeys(names)),
                expected="state in registered buffers",
                fix='self.register_buffer("name", tensor) in __init__, self.name.copy_(value) in forward',
            )


_USER_CODE = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')


def _user_line(error: BaseException) -> str | None:
    """The line of the user's code that PyTorch was executing, from the traceback or from the message."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append((code.co_filename, trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    frames += [(f, int(n), name) for f, n, name in _USER_CODE.findall(str(error))]
    library, ours = os.path.dirname(torch.__file__), __file__.rpartition(f"frontends{os.sep}")[0]
    own = [f for f in frames if not f[0].startswith((library, ours, "<")) and f"{os.sep}contextlib.py" not in f[0]]
    inside = [f for f in own if f[2] not in ("export", "capture", "<module>")] or own
    if not inside:
        return None
    return line_text(*inside[-1])


def _explained(
    error: Exception,
    module: Any,
    call: Call,
    dynamic: Mapping[int, Mapping[int, Any]],
    specs: Mapping[str, Spec],
) -> ConvertError:
    text = str(error)
    if "marked" in text and "specialized" in text:
        return _specialised(module, call, dynamic, specs, text)
    kind = type(error).__name__
    first = next((line for line in text.splitlines() if line.strip()), kind)
    if kind.startswith("GuardOnDataDependent") or "data-dependent" in text:
        return ConvertError(
            "IX922",
            "the model's Python code decides by the values of a tensor, which are not known when it is captured",
            where=_user_line(error),
            found=first,
            expected="operations on tensors",
            fix="choose with torch.where(condition, a, b), or torch.cond; sizes may decide, values may not",
        )
    return ConvertError(
        "IX922",
        "torch.export cannot capture the model",
        where=_user_line(error),
        found=f"{kind}: {first}",
        expected="a forward made of tensor operations that runs on the example inputs",
        fix="run the model on the example first; make what is not tensor code a constant, or replace it",
    )


def _specialised(
    module: Any, call: Call, dynamic: Mapping[int, Mapping[int, Any]], specs: Mapping[str, Spec], text: str
) -> ConvertError:
    """Which size the model's code fixes, by which comparison, where: captured again with sizes free to fall."""
    auto = {key: dict.fromkeys(axes, torch.export.Dim.AUTO) for key, axes in dynamic.items()}
    program = capture_program(module, call, auto, specs)
    fixed: dict[str, str] = {}
    values = [n.meta.get("val") for n in user_placeholders(program)]
    for name, leaf, value in zip(call.names, tree_leaves((call.args, call.kwargs)), values, strict=True):
        for axis in auto.get(id(leaf), ()):
            wanted = specs[name].shape[axis]
            if str(value.shape[axis]).isdigit():
                fixed[str(wanted)] = f"{wanted} (axis {axis} of {name}) is always {value.shape[axis]}"
    environment = shape_environment(program)
    return ConvertError(
        "IX923",
        "the model's code fixes a size that was to be dynamic",
        where=equality_place(environment) or next((line_of(n) for n in program.graph.nodes if line_of(n)), None),
        found="; ".join(fixed.values()) or text.split("\n")[1].strip(" -"),
        expected=f"code that works for every {', '.join(fixed) or 'size'}",
        fix="leave the dimension out of `dynamic`, or take the size from the tensor (x.shape[0]) instead of a number",
    )
