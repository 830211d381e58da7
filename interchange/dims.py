"""Symbolic dimensions, the guards on them, and the shape language.

A `Dim` is an integer polynomial over named sizes, kept in a canonical form, so that equal sizes compare equal:
``(batch*6)//3 == 2*batch``. A comparison is answered when it holds, or fails, for *every* admissible size; otherwise it
is undecidable, and the trace that is going on decides what to do (`export` refuses, `compile` specialises).

The shape language, the same in Python, on the command line, in files and in reports::

    x: float32[batch, 3, 2*size, (n + 1)//2]
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from interchange.dtypes import DType, dtype_of, name_of
from interchange.errors import TraceError, UsageError, user_line

DimLike = Union[int, "Dim"]
Shape = tuple[DimLike, ...]

_INF = math.inf
_MOST = 64  # terms of a product that is written in a text: (a+1)*(b+1)*... doubles with each factor


@dataclass(frozen=True, slots=True)
class _Symbol:
    """A named size. Two symbols of one name are the same size."""

    name: str
    min: int = field(default=1, compare=False)
    max: float = field(default=_INF, compare=False)
    hint: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class _Call:
    """A size the polynomial cannot absorb: a//b, a%b, max(a, b), min(a, b)."""

    op: str
    a: Dim
    b: Dim

    def __str__(self) -> str:
        if self.op in ("max", "min"):
            return f"{self.op}({self.a}, {self.b})"
        return f"{self.a._atomic()}{self.op}{self.b._atomic()}"


_Atom = _Symbol | _Call
_Monomial = tuple[_Atom, ...]
_OPS: dict[str, Callable[[Any, Any], Any]] = {"//": operator.floordiv, "%": operator.mod, "max": max, "min": min}


class Dim:
    """A size that is not known yet: ``Dim("batch")``, ``Dim("time", min=2, max=512)``; and what is computed from such.

    min, max: the admissible sizes, inclusive; a size is at least 1 unless `min=0` is said.
    """

    __slots__ = ("_hash", "_terms", "_text")
    _text: str
    _terms: tuple[tuple[_Monomial, int], ...]

    def __init__(self, name: str, *, min: int = 1, max: int | None = None, hint: int | None = None) -> None:
        if not name.isidentifier():
            raise UsageError(
                "IX802",
                f"{name!r} cannot name a dimension",
                found=repr(name),
                expected="a name like batch or time_steps",
                fix="use letters, digits and _",
            )
        if min < 0 or (max is not None and max < min):
            raise UsageError(
                "IX802",
                f"dimension {name} admits no size",
                found=f"min={min}, max={max}",
                expected="0 <= min <= max",
                fix="correct the bounds",
            )
        symbol = _Symbol(name, min, _INF if max is None else max, hint)
        self._terms = (((symbol,), 1),)
        self._hash = hash(self._terms)

    # -- construction ------------------------------------------------------------------------------------------------
    @staticmethod
    def _make(terms: dict[_Monomial, int]) -> DimLike:
        kept = {m: c for m, c in terms.items() if c}
        return kept.get((), 0) if kept.keys() <= {()} else Dim._from(kept)

    @staticmethod
    def _from(terms: dict[_Monomial, int]) -> Dim:
        self = object.__new__(Dim)
        self._terms = tuple(sorted(terms.items(), key=lambda t: (-len(t[0]), [str(a) for a in t[0]])))
        self._hash = hash(self._terms)
        return self

    @staticmethod
    def _of(x: DimLike) -> dict[_Monomial, int]:
        return dict(x._terms) if isinstance(x, Dim) else ({(): int(x)} if x else {})

    def __add__(self, other: DimLike) -> DimLike:
        if not _is_dim(other):
            return NotImplemented
        terms = Dim._of(self)
        for m, c in Dim._of(other).items():
            terms[m] = terms.get(m, 0) + c
        return Dim._make(terms)

    def __mul__(self, other: DimLike) -> DimLike:
        if not _is_dim(other):
            return NotImplemented
        terms: dict[_Monomial, int] = {}
        if len(self._terms) * len(Dim._of(other)) > _MOST * _MOST:
            raise _bad_spec("a product of sizes", f"more than {_MOST * _MOST} terms")
        for (m, c), (n, d) in itertools.product(self._terms, Dim._of(other).items()):
            key = tuple(sorted(m + n, key=str))
            terms[key] = terms.get(key, 0) + c * d
        return Dim._make(terms)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> DimLike:
        return self * -1

    def __sub__(self, other: DimLike) -> DimLike:
        return self + (-other) if _is_dim(other) else NotImplemented

    def __rsub__(self, other: DimLike) -> DimLike:
        return -self + other

    def __pow__(self, exponent: int) -> DimLike:
        return product([self] * exponent)

    def __floordiv__(self, other: DimLike) -> DimLike:
        return _divmod(self, other)[0] if _is_dim(other) else NotImplemented

    def __mod__(self, other: DimLike) -> DimLike:
        return _divmod(self, other)[1] if _is_dim(other) else NotImplemented

    def __divmod__(self, other: DimLike) -> tuple[DimLike, DimLike]:
        return _divmod(self, other)

    def __rfloordiv__(self, other: DimLike) -> DimLike:
        return _divmod(other, self)[0]

    def __rmod__(self, other: DimLike) -> DimLike:
        return _divmod(other, self)[1]

    # -- comparison: proven, or decided by the trace -----------------------------------------------------------------
    def __eq__(self, other: object) -> bool:
        if not _is_dim(other):
            return NotImplemented
        return decide(Condition(self - other, "=="))  # type: ignore[operator]

    def __ge__(self, other: DimLike) -> bool:
        return decide(Condition(self - other, ">="))

    def __le__(self, other: DimLike) -> bool:
        return decide(Condition(other - self, ">="))

    def __gt__(self, other: DimLike) -> bool:
        return decide(Condition(self - other - 1, ">="))

    def __lt__(self, other: DimLike) -> bool:
        return decide(Condition(other - self - 1, ">="))

    def __bool__(self) -> bool:
        return not decide(Condition(self, "=="))

    def __hash__(self) -> int:
        return self._hash

    # -- never a silent number ---------------------------------------------------------------------------------------
    def _no_number(self, what: str) -> TraceError:
        must_be_number(self)
        return TraceError(
            "IX201",
            f"the size {self} is not a number while the model is traced",
            where=user_line(),
            found=f"{what} of dimension {self}",
            expected="arithmetic on sizes with + - * // %",
            fix=f"keep it symbolic, or make the dimension static (do not name {self} in `dynamic` or the shape string)",
        )

    def __index__(self) -> int:
        raise self._no_number("int() or range()")

    __int__ = __index__

    def __float__(self) -> float:
        raise self._no_number("float()")

    # -- reading -----------------------------------------------------------------------------------------------------
    def _atomic(self) -> str:
        text = str(self)
        return text if text.isidentifier() or text.isdigit() else f"({text})"

    def __str__(self) -> str:
        try:
            return self._text
        except AttributeError:  # written out once
            self._text = self._written()
            return self._text

    def _written(self) -> str:
        out = ""
        for monomial, c in self._terms:
            body = "*".join(str(a) if isinstance(a, _Symbol) or a.op in ("max", "min") else f"({a})" for a in monomial)
            text = body if abs(c) == 1 and body else f"{abs(c)}*{body}" if body else str(abs(c))
            out += (f" {'-' if c < 0 else '+'} " if out else ("-" if c < 0 else "")) + text
        return (out if not (len(self._terms) == 1 and out.startswith("(")) else out[1:-1]) or "0"

    def __repr__(self) -> str:
        return f"Dim<{self}>"

    def _walk(self) -> Iterator[_Symbol]:
        for monomial, _ in self._terms:
            for atom in monomial:
                if isinstance(atom, _Symbol):
                    yield atom
                else:
                    yield from atom.a._walk() if isinstance(atom.a, Dim) else ()
                    yield from atom.b._walk() if isinstance(atom.b, Dim) else ()


def _is_dim(x: object) -> bool:
    return isinstance(x, (Dim, int)) or hasattr(x, "__index__")


def bounds(x: DimLike) -> tuple[float, float]:
    """The least and the greatest value over all admissible sizes (interval arithmetic: never too narrow)."""
    if not isinstance(x, Dim):
        return x, x
    low = high = 0.0
    for monomial, c in x._terms:
        a, b = 1.0, 1.0
        for atom in monomial:
            u, v = (atom.min, atom.max) if isinstance(atom, _Symbol) else _call_bounds(atom)
            corners = [0.0 if 0 in (p, q) else p * q for p in (a, b) for q in (u, v)]
            a, b = min(corners), max(corners)
        a, b = (a * c, b * c) if c > 0 else (b * c, a * c)
        low, high = low + a, high + b
    return low, high


def _call_bounds(call: _Call) -> tuple[float, float]:
    (a, b), (c, d) = bounds(call.a), bounds(call.b)
    if call.op in ("max", "min"):
        extreme = _OPS[call.op]
        return extreme(a, c), extreme(b, d)
    if c < 1:
        return -_INF, _INF
    if call.op == "%":
        return 0, (d - 1 if b >= d or a < 0 else b)
    corners = [_floor(p, q) for p in (a, b) for q in (c, d)]
    return min(corners), max(corners)


def _floor(p: float, q: float) -> float:
    return (0 if p >= 0 else -1) if math.isinf(q) else p if math.isinf(p) else p // q


def _divmod(a: DimLike, b: DimLike) -> tuple[DimLike, DimLike]:
    """Floor division and remainder. What divides exactly leaves the quotient: (4*n + 3)//4 is n + 3//4."""
    if isinstance(b, int) and b == 0:
        raise ZeroDivisionError(f"{a} divided by 0")
    divisor = Dim._of(b)
    if len(divisor) == 1:  # a monomial c*m divides every term that has both as a factor
        ((m, c),) = divisor.items()
        whole: dict[_Monomial, int] = {}
        rest: dict[_Monomial, int] = {}
        for n, d in Dim._of(a).items():
            left = _without(n, m)
            if left is not None and d % c == 0:
                whole[left] = d // c
            elif left is not None and left == () and m == ():
                whole[left], rest[()] = d // c, d % c
            else:
                rest[n] = d
        quotient, remainder = Dim._make(whole), Dim._make(rest)
        if isinstance(remainder, int) and remainder == 0:
            return quotient, 0
    else:
        quotient, remainder = 0, a
        if Dim._of(a) == divisor:
            return 1, 0
    if isinstance(remainder, int) and isinstance(b, int):
        return quotient + remainder // b, remainder % b
    low, high = bounds(remainder)
    if low >= 0 and high < bounds(b)[0]:
        return quotient, remainder
    as_dim = [Dim._from(Dim._of(x)) for x in (remainder, b)]
    return (
        quotient + Dim._make({(_Call("//", *as_dim),): 1}),
        Dim._make({(_Call("%", *as_dim),): 1}),
    )


def _without(monomial: _Monomial, factor: _Monomial) -> _Monomial | None:
    left = list(monomial)
    for atom in factor:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def _extreme(op: str, a: DimLike, b: DimLike) -> DimLike:
    if isinstance(a, int) and isinstance(b, int):
        return int(_OPS[op](a, b))
    low, high = bounds(a - b)
    if low >= 0 or high <= 0:
        return a if (low >= 0) == (op == "max") else b
    pair = sorted((Dim._from(Dim._of(x)) for x in (a, b)), key=str)
    return Dim._make({(_Call(op, *pair),): 1})


def dim_max(a: DimLike, b: DimLike) -> DimLike:
    """The larger of two sizes, symbolic where it is not known which."""
    return _extreme("max", a, b)


def dim_min(a: DimLike, b: DimLike) -> DimLike:
    """The smaller of two sizes, symbolic where it is not known which."""
    return _extreme("min", a, b)


def symbols(dims: DimLike | Sequence[DimLike]) -> dict[str, tuple[int, int | None]]:
    """The named sizes in a dim or a shape, each with its (min, max); max is None when unbounded."""
    found: dict[str, tuple[int, int | None]] = {}
    for d in dims if isinstance(dims, (tuple, list)) else (dims,):
        for s in d._walk() if isinstance(d, Dim) else ():
            found[s.name] = (s.min, None if math.isinf(s.max) else int(s.max))
    return found


def evaluate(x: DimLike, sizes: Mapping[str, int]) -> int:
    """The value of a dim when its named sizes are these."""
    if not isinstance(x, Dim):
        return int(x)
    total = 0
    for monomial, c in x._terms:
        for atom in monomial:
            if isinstance(atom, _Symbol):
                c *= sizes[atom.name]
            else:
                c *= _OPS[atom.op](evaluate(atom.a, sizes), evaluate(atom.b, sizes))
        total += c
    return total


def hints(x: DimLike) -> dict[str, int]:
    """The example's sizes of the names in a dim, as far as there is an example."""
    return {s.name: s.hint for s in x._walk() if s.hint is not None} if isinstance(x, Dim) else {}


def hint(x: DimLike) -> int | None:
    """The value of a dim at the example's sizes, if every size in it has one."""
    known = hints(x)
    return evaluate(x, known) if symbols(x).keys() == known.keys() else None


def product(shape: Sequence[DimLike]) -> DimLike:
    """The number of elements of a shape."""
    total: DimLike = 1
    for d in shape:
        total = total * d
    return total


# -- conditions and guards --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Condition:
    """``expr == 0`` or ``expr >= 0``."""

    expr: DimLike
    op: str

    def holds(self) -> bool | None:
        """True or False when it is so for every admissible size, None when it depends."""
        if not isinstance(self.expr, Dim):
            return self.expr == 0 if self.op == "==" else self.expr >= 0
        low, high = bounds(self.expr)
        if self.op == ">=":
            return True if low >= 0 else False if high < 0 else None
        if low > 0 or high < 0:
            return False
        return True if low == high == 0 else None

    def at(self, sizes: Mapping[str, int]) -> bool:
        """Whether it holds at these sizes; where it divides by 0 it does not."""
        try:
            value = evaluate(self.expr, sizes)
        except ZeroDivisionError:
            return False
        return value == 0 if self.op == "==" else value >= 0

    def __str__(self) -> str:
        """``batch % 4 == 0``, ``time >= 3``: the constant stands on the right, the rest on the left."""
        if not isinstance(self.expr, Dim):
            return f"{self.expr} {self.op} 0"
        constant = Dim._of(self.expr).get((), 0)
        left, right = self.expr - constant, -constant
        if isinstance(left, Dim) and all(c < 0 for _, c in left._terms):
            return f"{-left} {'<=' if self.op == '>=' else '=='} {-right}"
        return f"{left} {self.op} {right}"


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition on the sizes of the inputs under which an exported model is right."""

    condition: Condition
    why: str
    where: str | None = None

    def to_dict(self) -> dict[str, str | None]:
        return {"condition": str(self.condition), "why": self.why, "where": self.where}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Guard:
        return Guard(parse_condition(data["condition"]), str(data.get("why", "")), data.get("where"))


class _Deciders(threading.local):
    """Who answers undecidable questions, innermost last. A trace pushes itself."""

    stack: list[Any]

    def __init__(self) -> None:
        self.stack = []


deciders = _Deciders()


def decide(condition: Condition) -> bool:
    """The truth of a condition the *user's code* asks for; undecidable ones go to the trace, else TraceError IX202."""
    known = condition.holds()
    if known is None and not deciders.stack:
        raise undecidable(condition)
    return bool(deciders.stack[-1].decide(condition)) if known is None else known


def must_be_number(size: DimLike) -> None:
    """To be called before a symbolic size is refused: in an automatic trace it becomes static instead."""
    if isinstance(size, Dim) and deciders.stack:
        deciders.stack[-1].fix(size)


def undecidable(condition: Condition) -> TraceError:
    """The error for a condition that depends on the size of an input."""
    names = ", ".join(symbols(condition.expr))
    return TraceError(
        "IX202",
        f"whether {condition} depends on the size of an input",
        where=user_line(),
        found=f"a comparison of the dynamic dimension{'s' if ',' in names else ''} {names}",
        expected="a comparison that has one answer for every admissible size",
        fix=f"make {names} static, or give it bounds with Dim(..., min=, max=) that decide the answer",
    )


def require(condition: Condition, why: str) -> bool:
    """State what an *operator* needs of its sizes: False if it can never hold, a guard where it depends."""
    known = condition.holds()
    if known is None:
        if not deciders.stack:
            raise undecidable(condition)
        deciders.stack[-1].guard(Guard(condition, why, user_line()))
        return True
    return known


def same(a: DimLike, b: DimLike) -> bool | None:
    """Whether two sizes are equal: True or False for every admissible size, None when it depends."""
    return Condition(a - b, "==").holds()


def same_shape(a: Sequence[DimLike], b: Sequence[DimLike]) -> bool:
    """Whether two shapes are provably equal."""
    return len(a) == len(b) and all(x is y or same(x, y) for x, y in zip(a, b, strict=True))


# -- the shape language -----------------------------------------------------------------------------------------------
_SPEC = re.compile(r"^\s*(?:(?P<name>[^\[\]:]+?)\s*:)?\s*(?P<dtype>\w+)\s*\[(?P<dims>.*)\]\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Spec:
    """Name, dtype and shape of one tensor: what ``x: float32[batch, 3]`` says."""

    name: str | None
    dtype: DType
    shape: Shape

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", dtype_of(self.dtype))  # "float32" is understood as everywhere else
        object.__setattr__(self, "shape", tuple(self.shape))
        if any(bounds(d)[1] < 0 for d in self.shape):
            raise _bad_spec(str(self), "a size is not negative")

    def __str__(self) -> str:
        text = f"{name_of(self.dtype)}[{', '.join(map(str, self.shape))}]"
        return f"{self.name}: {text}" if self.name else text


def parse_spec(text: str, known: Mapping[str, Dim] | None = None) -> Spec:
    """Read ``x: float32[batch, 3, 2*size]``; the name is optional. `known` supplies dims with bounds by name.

    Raises UsageError IX803 with what is wrong and where.
    """
    match = _SPEC.match(text)
    if not match:
        raise _bad_spec(text, "not of the form name: dtype[dim, dim]")
    inner = match["dims"].strip()
    dims = tuple(parse_dim(p, known) for p in (split_dims(inner) if inner else ()))
    if any(isinstance(d, int) and d < 0 for d in dims):
        raise _bad_spec(text, "a size is negative")
    return Spec(match["name"], dtype_of(match["dtype"]), dims)


def split_dims(text: str) -> list[str]:
    """The parts of a text between the commas that are outside of parentheses."""
    parts, depth = [""], 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return parts


def _bad_spec(text: str, problem: str) -> UsageError:
    return UsageError(
        "IX803",
        f"cannot read the shape {text!r}: {problem}",
        found=text,
        expected="for example x: float32[batch, 3, 2*size]",
        fix="write a dtype and, in brackets, a number, a name or an expression (+ - * // % max min) per dimension",
    )


def parse_dim(text: str, known: Mapping[str, Dim] | None = None) -> DimLike:
    """Read one dimension: a number, a name, or an expression. Raises UsageError IX803."""
    try:
        return _read(ast.parse(text.strip(), mode="eval").body, known or {})
    except (SyntaxError, TypeError, ValueError, KeyError, ZeroDivisionError, RecursionError, MemoryError):
        raise _bad_spec(text, "a dimension is a number, a name or an expression") from None


_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def _read(node: ast.expr, known: Mapping[str, Dim]) -> DimLike:
    match node:
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return value
        case ast.Name(id=name):
            return known[name] if name in known else Dim(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_read(operand, known)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _read(left, known), _read(right, known)
            if type(op) is ast.Mult and len(Dim._of(a)) * len(Dim._of(b)) > _MOST:
                raise ValueError("too many terms")
            return _BINARY[type(op)](a, b)  # type: ignore[no-any-return]
        case ast.Call(func=ast.Name(id=("max" | "min") as name), args=[a, b]):
            return _extreme(name, _read(a, known), _read(b, known))
    raise ValueError(ast.dump(node))


def parse_condition(text: str, known: Mapping[str, Dim] | None = None) -> Condition:
    """Read what `Condition.__str__` wrote: ``batch % 4 == 0``, ``time >= 3``."""
    match = re.match(r"^(.*?)(==|>=|<=)(.*)$", text)
    if not match:
        raise _bad_spec(text, "not a condition")
    left, right = parse_dim(match[1], known), parse_dim(match[3], known)
    return Condition(right - left if match[2] == "<=" else left - right, "==" if match[2] == "==" else ">=")
