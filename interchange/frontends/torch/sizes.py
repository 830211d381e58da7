"""PyTorch's symbolic sizes (sympy expressions over s0, u1, ...) as ours, its guards as ours."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import sympy
import torch
from torch.export.graph_signature import InputKind
from torch.utils._pytree import tree_flatten_with_path, tree_unflatten

from interchange.dims import Condition, Dim, DimLike, Guard, Spec, dim_max, dim_min, hint, parse_dim
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.errors import ConvertError, is_ours, line_text
from interchange.frontends.torch.table import Real
from interchange.ops.arithmetic import Add, Div, Mul, Pow, Sqrt
from interchange.ops.shape_tools import shape_tensor

_float64 = np.dtype(np.float64)


def _round_up(ratio: Any, read: Callable[[Any], DimLike]) -> DimLike:
    """CeilToInt(a/b): -(-a // b)."""
    if type(ratio).__name__ not in ("IntTrueDiv", "FloatTrueDiv"):
        raise _unknown(ratio)
    a, b = (read(_plain(x)) for x in ratio.args)
    return -(-a // b)


def _plain(expr: Any) -> Any:
    """Without the conversion to a float around an integer."""
    return expr.args[0] if type(expr).__name__ == "ToFloat" else expr


def _unknown(expr: Any) -> ConvertError:
    return ConvertError(
        "IX926",
        "a size is computed in a way that has no form in ONNX",
        found=str(expr),
        expected="+, -, *, //, %, max and min of sizes",
        fix="compute the size with whole numbers, or make the dimension static",
    )


_CALLS: dict[str, Callable[..., DimLike]] = {
    "FloorDiv": operator.floordiv,
    "CleanDiv": operator.floordiv,
    "PythonMod": operator.mod,
    "Mod": operator.mod,
    "Max": lambda *xs: _fold(dim_max, xs),
    "Min": lambda *xs: _fold(dim_min, xs),
    "ModularIndexing": lambda a, b, c: (a // b) % c,
    "PowByNatural": operator.pow,
}


def _fold(op: Callable[[DimLike, DimLike], DimLike], xs: Any) -> DimLike:
    result, *rest = xs
    for x in rest:
        result = op(result, x)
    return result  # type: ignore[no-any-return]


class Sizes:
    """sympy symbol -> Dim, and what is made of them. `define` gives a symbol its size."""

    def __init__(self) -> None:
        self._known: dict[Any, DimLike] = {}  # expression -> size
        self._reals: dict[Any, Tensor] = {}

    def copy(self) -> Sizes:
        """The same sizes, for another trace."""
        other = Sizes()
        other._known = dict(self._known)
        return other

    def define(self, symbol: Any, size: DimLike) -> None:
        """From here on `symbol` is `size`."""
        self._known[symbol] = size

    def knows(self, symbol: Any) -> bool:
        """Whether a symbol has its size."""
        return symbol in self._known

    def known(self, value: Any) -> DimLike | None:
        """An int or a SymInt; None where only the data decides and nothing has shown the size yet."""
        if type(value) is int:
            return value
        return self.size(value) if all(map(self.knows, value.node.expr.free_symbols)) else None

    def size(self, value: Any) -> DimLike:
        """An int or a SymInt. Raises ConvertError IX926 for what sizes cannot express."""
        return value if isinstance(value, int) else self.read(value.node.expr)

    def read(self, expr: Any) -> DimLike:
        """The size that a sympy expression stands for."""
        found = self._known.get(expr)
        if found is None:
            found = self._known[expr] = self._read(expr)
        return found

    def _read(self, expr: Any) -> DimLike:
        if isinstance(expr, (int, sympy.Integer)):
            return int(expr)
        if isinstance(expr, sympy.Symbol):  # one that only the data decides and that no tensor has shown so far
            raise _unknown(expr)
        if isinstance(expr, sympy.Add):
            return _fold(operator.add, map(self.read, expr.args))
        if isinstance(expr, sympy.Mul):
            return _fold(operator.mul, map(self.read, expr.args))
        if isinstance(expr, sympy.Pow) and isinstance(expr.exp, sympy.Integer) and int(expr.exp) > 0:
            base = self.read(expr.base)
            return base ** int(expr.exp)
        name = type(expr).__name__
        if name in ("CeilToInt", "TruncToInt", "FloorToInt"):
            inner = expr.args[0]
            if name == "CeilToInt":
                return _round_up(inner, self.read)
            if type(inner).__name__ in ("IntTrueDiv", "FloatTrueDiv"):  # sizes are not negative: both round down
                a, b = (self.read(_plain(x)) for x in inner.args)
                return a // b
            return self._scaled(inner)
        call = _CALLS.get(name)
        if call is None:
            raise _unknown(expr)
        return call(*map(self.read, expr.args))

    def _scaled(self, expr: Any) -> DimLike:
        """1.5 * size, rounded down: exact in floats as in integers, where the factor is a short binary fraction."""
        if not isinstance(expr, sympy.Mul) or len(expr.args) != 2 or type(expr.args[1]).__name__ != "ToFloat":
            raise _unknown(expr)
        factor = Fraction(float(expr.args[0])) if expr.args[0].is_number else None
        if factor is None or factor < 0 or factor.denominator > 1024:
            raise _unknown(expr)
        return self.read(expr.args[1].args[0]) * factor.numerator // factor.denominator

    # -- floats of sizes -----------------------------------------------------------------------------------------------
    def real(self, value: Any) -> float | Real:
        """A float or a SymFloat."""
        return value if isinstance(value, (int, float)) else Real(self._real(value.node.expr))

    def _real(self, expr: Any) -> Tensor:
        if expr not in self._reals:
            self._reals[expr] = self._compute(expr)
        return self._reals[expr]

    def _compute(self, expr: Any) -> Tensor:
        name = type(expr).__name__
        if expr.is_number:
            return wrap(np.array(float(expr), _float64))
        if name == "ToFloat":
            return astype(shape_tensor(self.read(expr.args[0])), _float64)
        if name in ("FloatTrueDiv", "IntTrueDiv"):
            return Div(self._real(expr.args[0]), self._real(expr.args[1]))
        if name in ("FloatPow", "Pow"):
            return Pow(self._real(expr.args[0]), self._real(expr.args[1]))
        if name == "OpaqueUnaryFn_sqrt":
            return Sqrt(self._real(expr.args[0]))
        if isinstance(expr, (sympy.Add, sympy.Mul)):
            first, *rest = (self._real(a) for a in expr.args)
            for x in rest:
                first = Add(first, x) if isinstance(expr, sympy.Add) else Mul(first, x)
            return first
        return astype(shape_tensor(self.read(expr)), _float64)


# -- guards -----------------------------------------------------------------------------------------------------------
def place_of(location: Any) -> str | None:
    """``model.py:12 in forward`` of the line that a guard comes from; None if only libraries were involved."""
    frame = getattr(location, "maybe_user_loc", None) or getattr(location, "framework_loc", None)
    if frame is None or isinstance(frame, str):  # made by `program._lines`
        return frame
    return None if is_ours(frame.filename) else line_text(frame.filename, frame.lineno, frame.name)


def conditions(expr: Any, sizes: Sizes, example: Mapping[Any, Any]) -> list[Condition]:
    """A guard (a sympy relation that held at the example) as conditions on sizes. Raises ConvertError IX926.

    example: symbol -> its size when the model was captured.
    """
    if expr in (True, sympy.true):
        return []
    if isinstance(expr, sympy.And):
        return [c for part in expr.args for c in conditions(part, sizes, example)]
    if isinstance(expr, sympy.Or):  # what held at the example is enough, if more than is needed
        held = [part for part in expr.args if part.xreplace(example) == sympy.true]
        return min((conditions(part, sizes, example) for part in held), key=len)
    if not isinstance(expr, sympy.core.relational.Relational):
        raise _unknown(expr)
    expr = _plainer(expr)
    left, right = sizes.read(expr.lhs), sizes.read(expr.rhs)
    gap = left - right
    if isinstance(expr, sympy.Eq):
        found = Condition(gap, "==")
    elif isinstance(expr, sympy.Ne):  # on which side it was at the example
        above = (expr.lhs > expr.rhs).xreplace(example) == sympy.true
        found = Condition(gap - 1 if above else -gap - 1, ">=")
    elif isinstance(expr, sympy.Ge):
        found = Condition(gap, ">=")
    elif isinstance(expr, sympy.Gt):
        found = Condition(gap - 1, ">=")
    elif isinstance(expr, sympy.Le):
        found = Condition(-gap, ">=")
    else:
        found = Condition(-gap - 1, ">=")
    return [] if found.holds() else [found]


def _plainer(expr: Any) -> Any:
    """``a == min(a, b)``, which a slice of a table makes, as ``a <= b``."""
    pairs = [expr.args, expr.args[::-1]] if isinstance(expr, sympy.Eq) else []
    for a, least in pairs:
        if type(least).__name__ == "Min" and a in least.args:
            return sympy.Le(a, least.func(*(b for b in least.args if b != a)))
    return expr


def guards_of(environment: Any, sizes: Sizes) -> list[Guard]:
    """The guards of a capture, each once, as conditions on our sizes with the line they come from."""
    found: dict[str, Guard] = {}
    for guard in environment.guards if environment is not None else ():
        for condition in conditions(environment.replace(guard.expr), sizes, environment.backed_var_to_val):
            found.setdefault(str(condition), Guard(condition, "the model's code compares sizes", place_of(guard.sloc)))
    return list(found.values())


def written_guards(program: Any, specs: Mapping[str, Spec]) -> list[Guard]:
    """The guards of a program that was saved: ``L['x'].size()[0] % 2 == 0``, read, never executed."""
    users = [n.name for n in user_placeholders(program)]
    names = dict(zip(_paths(program), users, strict=True))
    sizes = {f"{path}.size()[{i}]": d for path, n in names.items() if n in specs for i, d in enumerate(specs[n].shape)}
    found: list[Guard] = []
    for text in getattr(program, "_guards_code", None) or ():
        condition = _parsed(ast.parse(text, mode="eval").body, sizes)
        if condition is not None and not condition.holds():
            found.append(Guard(condition, "the model's code compares sizes"))
    return found


def _paths(program: Any) -> list[str]:
    """How the guards write each input: ``L['d']['a']``."""
    names = program.module_call_graph[0].signature.forward_arg_names
    args, kwargs = tree_unflatten(list(range(program.call_spec.in_spec.num_leaves)), program.call_spec.in_spec)
    leaves, _ = tree_flatten_with_path({**dict(zip(names, args, strict=False)), **kwargs})
    keys = [[getattr(k, "key", getattr(k, "idx", getattr(k, "name", k))) for k in path] for path, _ in leaves]
    return ["L" + "".join(f"[{k!r}]" for k in path) for path in keys]


_COMPARED: dict[type, Callable[[DimLike, DimLike], Condition]] = {
    ast.Eq: lambda a, b: Condition(a - b, "=="),
    ast.GtE: lambda a, b: Condition(a - b, ">="),
    ast.Gt: lambda a, b: Condition(a - b - 1, ">="),
    ast.LtE: lambda a, b: Condition(b - a, ">="),
    ast.Lt: lambda a, b: Condition(b - a - 1, ">="),
}


def _parsed(node: ast.expr, sizes: Mapping[str, DimLike]) -> Condition | None:
    """A comparison as a condition: ``!=`` is the side on which the example is, None where there is no example."""
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        raise _unknown(ast.unparse(node))
    text = [ast.unparse(x) for x in (node.left, *node.comparators)]
    for path, size in sizes.items():
        text = [t.replace(path, f"({size})") for t in text]
    known = {str(d): d for d in sizes.values() if isinstance(d, Dim) and str(d).isidentifier()}
    left, right = (parse_dim(t, known) for t in text)
    compare = type(node.ops[0])
    if compare is ast.NotEq:
        at_example = hint(left - right)
        if at_example is None:
            return None
        compare = ast.Gt if at_example > 0 else ast.Lt
    return _COMPARED[compare](left, right)


def user_placeholders(program: Any) -> list[Any]:
    """The placeholders of the user's inputs, in call order."""
    kinds = {s.arg.name: s.kind for s in program.graph_signature.input_specs}
    nodes = [n for n in program.graph.nodes if n.op == "placeholder"]
    return [n for n in nodes if kinds.get(n.name) == InputKind.USER_INPUT]


def shape_environment(program: Any) -> Any:
    """The ShapeEnv of a capture, from any symbolic size among the inputs; None where all are numbers."""
    for value in (n.meta.get("val") for n in user_placeholders(program)):
        for d in getattr(value, "shape", (value,)):
            if isinstance(d, torch.SymInt):
                return d.node.shape_env
    return None


def equality_place(environment: Any) -> str | None:
    """The line of the comparison by which the model's code made a size a number, or two sizes one."""
    guards = [g for g in getattr(environment, "guards", ()) if isinstance(g.expr, sympy.Eq)]
    fixing = [g for g in guards if g.expr.free_symbols & environment.replacements.keys()]
    return next((place_of(g.sloc) for g in fixing), None)
