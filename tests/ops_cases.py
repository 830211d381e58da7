"""Cases for the operators of the vocabulary: what test_ops_numeric.py and the trace tests run.

An input is written as a shape spec, ``"float32[n, 3]"``: seeded random elements, and a symbolic axis where the spec
names one; or as a `Fill`, which makes the elements from the shape; or as `Sizes`, a shape that may name axes; or as an
array, the same at every size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from interchange.dims import Dim, Shape, evaluate, parse_dim, parse_spec, symbols
from interchange.dtypes import Array, DType
from interchange.eager.tensor import Tensor, wrap
from interchange.ops import TABLE, Op

Make = Callable[[np.random.Generator, tuple[int, ...]], Any]
NORMAL: Mapping[str, int] = {"n": 3, "m": 2, "c": 4}  # the sizes of a case's named axes, unless it says others
DIMS = {name: Dim(name) for name in ("n", "m", "c")}


@dataclass(frozen=True)
class Fill:
    """An input whose elements follow from its shape: ``Fill("int64[n]", lambda rng, shape: ...)``."""

    spec: str
    make: Make
    known: bool = False  # the shape rule may see the elements


@dataclass(frozen=True)
class Sizes:
    """An int64 input that is a shape: ``Sizes("n, 6")``; [] of one size with scalar=True."""

    text: str
    scalar: bool = False

    def dims(self) -> Shape:
        return tuple(parse_dim(part, DIMS) for part in self.text.split(",") if part.strip())


Input = str | Fill | Sizes | Array | Sequence[Any] | int | float | None


@dataclass(frozen=True)
class Case:
    """One call of an operator, and what is expected to hold of it."""

    op: str
    inputs: tuple[Input, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    as_is: tuple[int, ...] = ()  # the inputs that stay float32 when the others are float64
    sizes: Mapping[str, int] = field(default_factory=dict)  # of the named axes, over NORMAL
    at: tuple[int, ...] = (1, 2, 7)  # sizes of n which the symbolic shape rule is tried at
    gradient: bool = True  # False: at a kink, or without a rule
    by: tuple[int, ...] | None = None  # the inputs to differentiate by, if not every float one
    second: bool = True  # and the gradient's gradient
    symbolic: bool = True  # False: the shape follows from data
    runtime: str | None = None  # why ONNX Runtime's result is not compared
    half: bool = True  # also in float16 and bfloat16, where the schema allows them
    rtol: float = 2e-5

    @property
    def operator(self) -> Op[Any]:
        return TABLE["", self.op]

    @property
    def id(self) -> str:
        inputs = ",".join(
            i if isinstance(i, str) else getattr(i, "spec", "") or getattr(i, "text", "*") for i in self.inputs
        )
        attributes = ",".join(f"{k}={v}" for k, v in self.attributes.items())
        return f"{self.op}-{inputs}-{attributes}".replace(" ", "")

    def arrays(self, floats: DType | str = "float32", **sizes: int) -> list[Array | None]:
        """The inputs, at these sizes of the named axes; `floats` takes the place of float32."""
        rng = np.random.default_rng(7)
        where = {**NORMAL, **self.sizes, **sizes}
        dtypes = [np.dtype(np.float32 if k in self.as_is else floats) for k in range(len(self.inputs))]
        return [None if i is None else _array(i, rng, where, d) for i, d in zip(self.inputs, dtypes, strict=True)]

    def abstract(self) -> list[Tensor | None]:
        """The inputs as tensors that have a dtype and a symbolic shape, and elements only where they are constant."""
        arrays = self.arrays()
        return [None if a is None else _abstract(i, a) for i, a in zip(self.inputs, arrays, strict=True)]

    def names(self) -> set[str]:
        """The named axes."""
        dims = [parse_spec(getattr(i, "spec", i)).shape for i in self.inputs if isinstance(i, (str, Fill))]
        return set().union(*(symbols(d) for d in dims))


class Abstract(Tensor):
    """A tensor without data, as a shape rule sees one in a trace."""

    __slots__ = ("_elements", "_of", "_sizes")

    def __init__(self, dtype: DType, shape: Shape, elements: Array | None) -> None:
        self._of, self._sizes, self._elements, self._edge = dtype, shape, elements, None

    @property
    def dtype(self) -> DType:
        return self._of

    @property
    def shape(self) -> Shape:
        return self._sizes

    def _known(self) -> Array | None:
        return self._elements


def _array(i: Input, rng: np.random.Generator, sizes: Mapping[str, int], floats: DType) -> Array:
    if isinstance(i, Sizes):
        values = np.array([evaluate(d, sizes) for d in i.dims()], np.int64)
        return values.reshape(()) if i.scalar else values
    if not isinstance(i, (str, Fill)):
        array = np.asarray(i)
        return array.astype(floats) if array.dtype == np.float32 else array
    spec = parse_spec(i if isinstance(i, str) else i.spec, DIMS)
    shape = tuple(evaluate(d, sizes) for d in spec.shape)
    dtype = floats if spec.dtype == np.float32 else spec.dtype
    if isinstance(i, Fill):
        made = np.asarray(i.make(rng, shape))
        assert made.shape == shape, f"{i} made {made.shape} of {shape}"
        return made.astype(dtype)
    if spec.dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if spec.dtype.kind in "iu":
        return rng.integers(0 if spec.dtype.kind == "u" else -9, 10, shape).astype(dtype)
    return rng.standard_normal(shape).astype(np.float32).astype(dtype)


def _abstract(i: Input, array: Array) -> Tensor:
    if isinstance(i, Sizes):
        elements = np.array(i.dims(), object)
        elements = elements.reshape(()) if i.scalar else elements
        return Abstract(array.dtype, elements.shape, elements)
    if not isinstance(i, (str, Fill)):
        return wrap(array)
    spec = parse_spec(i if isinstance(i, str) else i.spec, DIMS)
    return Abstract(array.dtype, spec.shape, array if isinstance(i, Fill) and i.known else None)


# -- how elements are made --------------------------------------------------------------------------------------------
def uniform(spec: str, low: float, high: float) -> Fill:
    """Random elements between two numbers."""
    return Fill(spec, lambda rng, shape: rng.uniform(low, high, shape).astype(np.float32))


def positive(spec: str) -> Fill:
    return uniform(spec, 0.5, 2.0)


def apart(spec: str) -> Fill:
    """Distinct elements, far enough apart for a difference quotient not to change their order; none near 0 or 1."""
    return Fill(
        spec, lambda rng, shape: (rng.permutation(int(np.prod(shape))) - np.prod(shape) // 2 + 0.3).reshape(shape) / 4
    )


def index(spec: str, count: int, *, negative: bool = True) -> Fill:
    """Positions in an axis of `count` elements, also counted from its end."""
    return Fill(spec, lambda rng, shape: rng.integers(-count if negative else 0, count, shape))


def constant(values: Any, dtype: str = "float32") -> Array:
    return np.array(values, dtype)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


# -- the table --------------------------------------------------------------------------------------------------------
_UNARY = "Neg Abs Sign Floor Ceil Round Exp Sin Cos Tanh Sigmoid Erf Relu LeakyRelu Elu Selu Celu ThresholdedRelu Gelu"
_UNARY += " Softplus Softsign HardSigmoid HardSwish Mish IsNaN IsInf Identity"
_SMOOTH = {"Neg", "Exp", "Sin", "Cos", "Tanh", "Sigmoid", "Erf", "Gelu", "Softplus", "Softsign", "Mish", "Identity"}
_BINARY = "Add Sub Mul Max Min Sum Mean Equal Less LessOrEqual Greater GreaterOrEqual"
_REDUCE = "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceLogSumExp ReduceL1 ReduceL2 ReduceSumSquare"


def _elementwise() -> list[Case]:
    cases = [Case(name, ("float32[n, 5]",), second=name in _SMOOTH) for name in _UNARY.split()]
    for name in _BINARY.split():
        cases.append(Case(name, ("float32[n, 5]", "float32[n, 5]")))
        cases.append(Case(name, ("float32[n, 1, 5]", "float32[m, 1]")))
        if name in "Max Min Sum Mean":
            cases.append(Case(name, ("float32[5]", "float32[n, 1]", "float32[]")))
            cases.append(Case(name, ("float32[n, 5]",)))
    return [
        *cases,
        *(Case(name, ("bool[n, 5]", "bool[5]")) for name in ("And", "Or", "Xor")),
        *(Case(name, ("int32[n, 5]", "int32[5]")) for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
        Case("Not", ("bool[n]",)),
        Case("BitwiseNot", ("int32[n]",)),
        Case("BitShift", ("uint32[n]", "uint32[1]"), {"direction": "LEFT"}),
        Case("BitShift", ("uint8[n]", "uint8[n]"), {"direction": "RIGHT"}),
        Case("Div", ("float32[n, 5]", positive("float32[5]"))),
        Case("Div", ("int32[n]", constant([3], "int32"))),
        Case("Div", ("int32[n]", constant([-4], "int32"))),
        Case("Mod", ("int32[n]", constant([4], "int32"))),
        Case("Mod", ("int64[n]", constant([-4], "int64"))),
        Case("Mod", (uniform("float32[n, 3]", -9, 9), positive("float32[3]")), {"fmod": 1}, second=False),
        Case("Mod", ("int32[n]", constant([-4], "int32")), {"fmod": 1}),
        Case("Pow", (positive("float32[n, 3]"), "float32[3]")),
        Case("Pow", ("float32[n]", constant(2.0)), by=(0,)),
        Case("Pow", ("float32[n]", constant(3, "int64")), runtime="ORT rounds x^3 by x*x*x", rtol=1e-5),
        Case("Pow", ("int32[n]", constant(2, "int32"))),
        Case("Reciprocal", (positive("float32[n]"),)),
        Case("Sqrt", (positive("float32[n]"),)),
        Case("Log", (positive("float32[n]"),)),
        *(Case(name, ("float32[n, 5]",)) for name in ("Tan", "Atan", "Sinh", "Cosh", "Asinh")),
        *(Case(name, (uniform("float32[n, 5]", -0.9, 0.9),)) for name in ("Asin", "Acos", "Atanh")),
        Case("Acosh", (uniform("float32[n, 5]", 1.2, 3.0),)),
        Case("IsInf", (constant([np.inf, -np.inf, np.nan, 0]),), {"detect_negative": 0}),
        Case("IsInf", (constant([np.inf, -np.inf, np.nan, 0]),), {"detect_positive": 0}),
        Case("LeakyRelu", ("float32[n]",), {"alpha": 0.3}, second=False),
        Case("Elu", ("float32[n]",), {"alpha": 0.3}, second=False),
        Case("Celu", ("float32[n]",), {"alpha": 0.3}, second=False),
        Case("HardSigmoid", ("float32[n, 9]",), {"alpha": 0.6, "beta": 0.4}, second=False),
        Case("HardSwish", (uniform("float32[n, 9]", -5, 5),), second=False),
        Case("Gelu", ("float32[n]",), {"approximate": "tanh"}, rtol=1e-4),
        Case("PRelu", ("float32[n, 3]", "float32[3]")),
        Case("PRelu", ("float32[n, 3, 2]", "float32[3, 1]")),
        Case("Clip", ("float32[n, 5]", constant(-0.5), constant(0.7)), second=False),
        Case("Clip", ("float32[n, 5]", None, constant(0.1)), second=False),
        Case("Clip", ("float32[n, 5]", constant(0.1)), second=False),
        Case("Clip", ("float32[n]",)),
        Case("Softmax", ("float32[n, 5]",)),
        Case("Softmax", ("float32[m, n, 2]",), {"axis": 1}),
        Case("LogSoftmax", ("float32[n, 5]",)),
        Case("LogSoftmax", ("float32[n, 5]",), {"axis": 0}),
    ]


def _reductions() -> list[Case]:
    cases = []
    for name in [*_REDUCE.split(), "ReduceLogSum"]:
        x = positive if name == "ReduceLogSum" else apart if name in ("ReduceMax", "ReduceMin") else str
        cases += [
            Case(name, (x("float32[n, 3, 2]"), ints(0))),
            Case(name, (x("float32[m, n, 2]"), ints(1, -1)), {"keepdims": 0}),
            Case(name, (x("float32[n, 3]"),), {"keepdims": 0}),
            Case(name, (x("float32[n, 3]"),), {"noop_with_empty_axes": 1}),
            Case(name, (x("float32[n, 3]"), ints()), {"keepdims": 0}),
        ]
    for name in ("ArgMax", "ArgMin"):
        cases += [
            Case(name, ("float32[n, 5]",)),
            Case(name, ("float32[n, 5]",), {"axis": -1, "keepdims": 0}),
            Case(name, (constant([[1, 3, 3, 0, 0]]),), {"axis": 1, "select_last_index": 1}),
        ]
    return [*cases, Case("ReduceProd", (constant([[0, 2, 3], [0, 0, 4], [5, 6, 7]]), ints(1)))]


def _shapes() -> list[Case]:
    return [
        Case("Cast", ("float32[n]",), {"to": "float64"}),
        Case("Cast", (uniform("float32[n]", -9, 9),), {"to": "int32"}),
        Case("Cast", ("bool[n]",), {"to": "float32"}),
        Case("Cast", ("float32[n]",), {"to": "bool"}),
        Case("CastLike", ("float32[n]", "int64[2]")),
        Case("CastLike", ("float32[n]", "float64[2]")),
        Case("Reshape", ("float32[n, 6]", Sizes("n, 2, 3"))),
        Case("Reshape", ("float32[n, 6]", ints(0, -1, 2))),
        Case("Reshape", ("float32[n, 6]", Sizes("6*n"))),
        Case("Reshape", (np.zeros((0, 3), np.float32), ints(3, 0)), {"allowzero": 1}),
        Case("Flatten", ("float32[n, 3, m]",)),
        Case("Flatten", ("float32[n, 3, m]",), {"axis": 0}),
        Case("Flatten", ("float32[n, 3, m]",), {"axis": -1}),
        Case("Transpose", ("float32[n, 3, m]",)),
        Case("Transpose", ("float32[n, 3, m]",), {"perm": (1, 0, 2)}),
        Case("Squeeze", ("float32[n, 1, 3, 1]", ints(1, -1))),
        Case("Squeeze", (np.ones((1, 3, 1), np.float32),)),
        Case("Unsqueeze", ("float32[n, 3]", ints(0, -1))),
        Case("Expand", ("float32[n, 1]", Sizes("2, 1, 4"))),
        Case("Expand", ("float32[3, 1]", Sizes("3, n"))),
        Case("Tile", ("float32[n, 2]", ints(2, 3))),
        Case("Tile", ("float32[3, 2]", Sizes("n, 1"))),
        Case("Concat", ("float32[n, 2]", "float32[n, 3]", "float32[n, 1]"), {"axis": 1}),
        Case("Concat", ("float32[n, 2]", "float32[m, 2]"), {"axis": 0}),
        Case("Concat", ("float32[n, 2]",), {"axis": -1}),
        Case("Split", ("float32[n, 5]", ints(2, 0, 3)), {"axis": 1, "outputs": 3}),
        Case("Split", ("float32[n, 5]",), {"axis": 1, "num_outputs": 3}),
        Case("Split", ("float32[2*n, 5]",), {"num_outputs": 2}),
        Case("Slice", ("float32[n, 6]", ints(1), ints(4), ints(1))),
        Case("Slice", ("float32[n, 6]", ints(0, -1), ints(2, -5), ints(0, 1), ints(1, -2))),
        Case("Slice", ("float32[n, 6]", ints(-1), ints(-1000), ints(0), ints(-1))),
        Case("Slice", ("float32[n, 6]", ints(1), ints(2**31 - 1), ints(0), ints(2))),
        Case("Slice", ("float32[n + 2, 6]", ints(1, 1), Sizes("n + 1, 3"))),
        Case("Slice", ("float32[n, 6]", ints(-2), ints(2**62), ints(0))),
        Case("Slice", ("float32[n, 6]", ints(5), ints(2), ints(1))),
        Case("Shape", ("float32[n, 3, m]",)),
        Case("Shape", ("float32[n, 3, m]",), {"start": -2, "end": 2}),
        Case("Size", ("float32[n, 3, m]",)),
        Case("ConstantOfShape", (Sizes("n, 2"),), {"value": np.array([3], np.int32)}),
        Case("ConstantOfShape", (Sizes("n, 2"),)),
        Case("ConstantOfShape", (ints(),), {"value": np.array([1.5])}),
        Case("Range", (constant(2, "int64"), Sizes("n + 2", scalar=True), constant(2, "int64"))),
        Case("Range", (constant(9, "int64"), constant(1, "int64"), constant(-3, "int64"))),
        Case("Range", (constant(0.5), constant(2.1), constant(0.4))),
        Case("EyeLike", ("float32[n, 4]",), {"k": 1}),
        Case("EyeLike", ("float32[n, m]",), {"k": -1, "dtype": "int32"}),
        Case("OneHot", (index("int64[n, 2]", 4), constant(4, "int64"), constant([0.5, 2.0]))),
        Case("OneHot", (index("int64[n]", 4), constant([4], "int64"), constant([0, 1], "int64")), {"axis": 0}),
        Case("OneHot", (constant([1, 9, -9], "int64"), constant(4, "int64"), constant([0.5, 2.0]))),
    ]


def _products() -> list[Case]:
    return [
        *(
            Case("MatMul", (f"float32[{a}]", f"float32[{b}]"), rtol=1e-4)
            for a, b in (
                ("n, 3", "3, 4"),
                ("n, 2, 3", "3, 4"),
                ("n, 2, 3", "n, 3, 2"),
                ("2, 1, n, 3", "5, 3, 2"),
                ("3", "3"),
                ("3", "n, 3, 2"),
                ("n, 2, 3", "3"),
                ("n, 3", "2, 3, 4"),
            )
        ),
        Case("Gemm", ("float32[n, 3]", "float32[3, 4]")),
        Case("Gemm", ("float32[n, 3]", "float32[3, 4]", "float32[4]"), {"alpha": 0.5, "beta": 2.0}),
        Case("Gemm", ("float32[3, n]", "float32[4, 3]", "float32[n, 1]"), {"transA": 1, "transB": 1}),
        Case("Gemm", ("float32[3, n]", "float32[3, 4]", "float32[]"), {"transA": 1}),
        *(
            Case("Einsum", tuple(f"float32[{s}]" for s in shapes.split(";")), {"equation": equation}, rtol=1e-4)
            for equation, shapes in (
                ("ij,jk->ik", "n, 3;3, 4"),
                ("bij, bjk -> bik", "n, 2, 3;n, 3, 2"),
                ("...ij,...jk", "m, 1, 2, 3;1, n, 3, 2"),
                ("ii->i", "3, 3"),
                ("iij,j->ij", "2, 2, n;n"),
                ("ij->", "n, 3"),
                ("ij,k->ki", "n, 3;2"),
                ("i,i,i->i", "n;n;n"),
                ("abc->cb", "n, 2, 3"),
                ("bhwc,hkc->bhwk", "n, 2, 3, 2;2, 3, 2"),
            )
        ),
    ]


def _indexing() -> list[Case]:
    rows = Fill("int64[n, 2]", lambda rng, shape: rng.permuted(np.tile([0, -1], (shape[0], 1)), axis=1))
    return [
        Case("Where", ("bool[n, 3]", "float32[3]", "float32[n, 1]")),
        Case("Where", ("bool[n, 3]", "float32[n, 3]", constant(0.0))),
        Case("Trilu", ("float32[m, n, 4]",)),
        Case("Trilu", ("float32[n, 4]", constant(1, "int64")), {"upper": 0}),
        Case("Trilu", ("float32[n, 4]", constant(-1, "int64"))),
        Case("Trilu", ("float32[n, 4]", constant(99, "int64"))),
        Case("Gather", ("float32[5, n]", index("int64[2, 3]", 5))),
        Case("Gather", ("float32[n, 5, 2]", index("int64[m]", 5)), {"axis": 1}),
        Case("Gather", ("float32[n, 5]", constant(-1, "int64")), {"axis": -1}),
        Case("Gather", ("float32[2, n, 5, 2]", index("int64[3, 2]", 5)), {"axis": 2}),
        Case("Gather", ("float32[5]", index("int32[n, 2]", 5))),
        Case("GatherElements", ("float32[5, 2]", index("int64[n, 2]", 5))),
        Case("GatherElements", ("float32[n, 5]", index("int64[n, 2]", 5)), {"axis": 1}),
        Case("GatherElements", ("float32[4, 5]", index("int64[3, 7]", 5)), {"axis": -1}),
        Case("ScatterElements", ("float32[n, 3]", rows, "float32[n, 2]"), {"axis": 1}),
        Case("ScatterElements", ("float32[5, 2]", index("int64[n, 2]", 5), "float32[n, 2]"), {"reduction": "add"}),
        Case(
            "ScatterElements", ("float32[5]", index("int64[n]", 5), "float32[n]"), {"reduction": "mul"}, gradient=False
        ),
        Case(
            "ScatterElements", ("float32[5]", index("int64[n]", 5), "float32[n]"), {"reduction": "max"}, gradient=False
        ),
        Case(
            "ScatterElements", ("float32[5]", index("int64[n]", 5), "float32[n]"), {"reduction": "min"}, gradient=False
        ),
        Case("GatherND", ("float32[4, 5, n]", index("int64[m, 2]", 4))),
        Case("GatherND", ("float32[4, 5, n]", index("int64[n, m, 1]", 4))),
        Case("GatherND", ("float32[n, 4, 3]", index("int64[n, 2, 1]", 4)), {"batch_dims": 1}),
        Case("GatherND", ("float32[n, 2, 4]", index("int64[n, 2, 1]", 4)), {"batch_dims": 2}),
        Case("ScatterND", ("float32[4, n]", constant([[1], [-1]], "int64"), "float32[2, n]")),
        Case("ScatterND", ("float32[4, 5]", index("int64[n, 2]", 4), "float32[n]"), {"reduction": "add"}),
        Case("ScatterND", ("float32[4, 2]", index("int64[n, m, 1]", 4), "float32[n, m, 2]"), {"reduction": "add"}),
        Case(
            "ScatterND",
            ("float32[4, 2]", index("int64[n, 1]", 4), "float32[n, 2]"),
            {"reduction": "mul"},
            gradient=False,
        ),
        Case(
            "ScatterND",
            ("float32[4, 2]", index("int64[n, 1]", 4), "float32[n, 2]"),
            {"reduction": "max"},
            gradient=False,
        ),
        Case(
            "ScatterND",
            ("float32[4, 2]", index("int64[n, 1]", 4), "float32[n, 2]"),
            {"reduction": "min"},
            gradient=False,
        ),
        Case("NonZero", ("bool[n, 4]",), symbolic=False),
        Case("NonZero", (constant([[0.0, 1.0, np.nan], [-0.0, 0.0, 2.0]]),)),
        Case("Compress", ("float32[n, 4]", constant([True, False, True], "bool")), {"axis": 1}),
        Case("Compress", ("float32[n, 4]", constant([False, True], "bool")), {"axis": 0}, at=(2, 7)),
        Case("Compress", ("float32[2, 2]", constant([True, False, False, True], "bool"))),
        Case("Compress", ("float32[n, 4]", "bool[n]"), {"axis": 0}, symbolic=False),
        Case("Unique", (constant([3, 1, 3, 2, 1]),), gradient=False),
        Case("Unique", (constant([3, 1, 3, 2, 1]),), {"sorted": 0, "outputs": 4}, gradient=False),
        Case("Unique", (apart("float32[n, 2]"),), {"outputs": 2}, symbolic=False),
        Case("Unique", (constant([[3, 1], [3, 2], [3, 1]]),), {"axis": 0, "outputs": 4}, gradient=False),
        Case("TopK", (apart("float32[n, 5]"), ints(2))),
        Case("TopK", (apart("float32[n + 2, 5]"), ints(3)), {"axis": 0, "largest": 0}),
        Case("TopK", (constant([3, 1, 3, 1, 3]), ints(4)), gradient=False),
        Case("TopK", (constant([3, 1, 3, 1, 3]), ints(4)), {"largest": 0}, gradient=False),
        *(
            Case(name, ("float32[m, n]", constant(axis, "int64")), {"exclusive": exclusive, "reverse": reverse})
            for name in ("CumSum", "CumProd")
            for axis, exclusive, reverse in ((1, 0, 0), (0, 1, 0), (-1, 0, 1), (1, 1, 1))
        ),
        Case("CumProd", (constant([[0, 2, 3], [0, 0, 4], [5, 6, 7]]), constant(1, "int64"))),
    ]


def _losses() -> list[Case]:
    labels, points = index("int64[n]", 4, negative=False), index("int64[n, 2]", 3, negative=False)
    weights = constant([0.5, 1.0, 2.0, 0.25])
    cases = []
    for reduction in ("none", "sum", "mean"):
        for name in ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"):
            cases += [
                Case(name, ("float32[n, 4]", labels), {"reduction": reduction}),
                Case(name, ("float32[n, 4]", labels, weights), {"reduction": reduction}),
                Case(name, ("float32[n, 3, 2]", points), {"reduction": reduction, "ignore_index": 1}),
                Case(name, ("float32[n, 4]", labels, weights), {"reduction": reduction, "ignore_index": 2}),
            ]
    return [*cases, Case("SoftmaxCrossEntropyLoss", ("float32[n, 4]", labels, weights), {"outputs": 2})]


def _layers() -> list[Case]:
    image, maps = "float32[n, 2, 6, 5]", apart("float32[n, 2, 6, 5]")
    pool, norm = {"kernel_shape": (2, 3)}, ("float32[2]", "float32[2]")
    scales = constant([1, 1, 2, 2])
    return [
        Case("Pad", ("float32[n, 3]", ints(1, 0, 2, 1))),
        Case("Pad", ("float32[n, 3]", ints(0, -1, 1, -1), constant(2.5))),
        Case("Pad", ("float32[n, 4]", ints(2, 1), None, ints(-1)), {"mode": "reflect"}),
        Case("Pad", ("float32[n, 4]", ints(0, 2, 0, 1)), {"mode": "edge"}),
        Case("Pad", ("float32[n, 4]", ints(0, 2, 0, 1)), {"mode": "wrap"}),
        Case("Conv", (image, "float32[3, 2, 3, 2]", "float32[3]"), rtol=1e-4),
        Case("Conv", (image, "float32[4, 1, 2, 2]"), {"group": 2, "strides": (2, 1), "pads": (1, 0, 0, 1)}, rtol=1e-4),
        Case("Conv", ("float32[n, 2, 7]", "float32[3, 2, 3]"), {"dilations": (2,), "pads": (2, 1)}, rtol=1e-4),
        Case("Conv", ("float32[2, 2, n + 4]", "float32[3, 2, 3]"), {"strides": (2,)}, rtol=1e-4),
        Case("ConvTranspose", (image, "float32[2, 3, 3, 2]", "float32[3]"), {"strides": (2, 1)}, rtol=1e-4),
        Case(
            "ConvTranspose",
            (image, "float32[2, 2, 2, 2]"),
            {"group": 2, "pads": (1, 0, 0, 1), "strides": (2, 2)},
            rtol=1e-4,
        ),
        Case("MaxPool", (maps,), pool, second=False),
        Case("MaxPool", (maps,), {"kernel_shape": (2, 2), "strides": (2, 2), "outputs": 2}, second=False),
        Case("MaxPool", (maps,), {**pool, "pads": (1, 1, 0, 1), "strides": (2, 2), "ceil_mode": 1}, second=False),
        Case("AveragePool", (image,), pool),
        Case("AveragePool", (image,), {**pool, "pads": (1, 1, 0, 1), "strides": (2, 2), "count_include_pad": 1}),
        Case("AveragePool", (image,), {**pool, "pads": (1, 1, 0, 1)}),
        Case("LpPool", (positive("float32[n, 2, 6, 5]"),), {**pool, "p": 3}, rtol=1e-4),
        Case("GlobalAveragePool", (image,)),
        Case("GlobalMaxPool", (maps,), second=False),
        Case("BatchNormalization", (image, *norm, "float32[2]", positive("float32[2]")), rtol=1e-4),
        Case("LayerNormalization", ("float32[n, 3, 4]", "float32[4]", "float32[4]"), rtol=1e-4),
        Case("LayerNormalization", ("float32[n, 3, 4]", "float32[3, 4]"), {"axis": 1, "epsilon": 1e-3}, rtol=1e-4),
        Case("RMSNormalization", ("float32[n, 3, 4]", "float32[4]"), rtol=1e-4),
        Case("GroupNormalization", ("float32[n, 4, 3]", "float32[4]", "float32[4]"), {"num_groups": 2}, rtol=1e-4),
        Case("InstanceNormalization", (image, *norm), rtol=1e-4),
        Case("LpNormalization", ("float32[n, 4]",)),
        Case("LpNormalization", ("float32[n, 4]",), {"axis": 0, "p": 1}),
        Case("MeanVarianceNormalization", (image,), rtol=1e-4),
        Case("Resize", (image, None, scales), as_is=(2,), rtol=1e-4),
        Case("Resize", (image, None, constant([1, 1, 0.6, 1.7])), {"mode": "linear"}, as_is=(2,), rtol=1e-4),
        Case("Resize", (image, None, None, Sizes("n, 2, 9, 4")), {"mode": "cubic"}, rtol=1e-4),
        Case(
            "Col2Im",
            ("float32[n, 8, 6]", ints(3, 4), ints(2, 2)),
        ),
        Case("GridSample", ("float32[n, 2, 4, 5]", "float32[n, 3, 2, 2]"), {"align_corners": 1}, rtol=1e-4),
        Case("GridSample", ("float32[n, 2, 4, 5]", "float32[n, 3, 2, 2]"), {"padding_mode": "border"}, rtol=1e-4),
        Case(
            "GridSample",
            ("float32[n, 2, 4, 5]", "float32[n, 3, 2, 2]"),
            {"mode": "cubic", "padding_mode": "reflection"},
            rtol=1e-4,
        ),
        Case("GridSample", ("float32[n, 2, 4, 5]", "float32[n, 3, 2, 2]"), {"mode": "nearest"}, by=(0,)),
        Case("GridSample", ("float32[n, 2, 3, 4, 5]", "float32[n, 3, 2, 2, 3]"), rtol=1e-4),
        Case("DepthToSpace", ("float32[n, 8, 2, 3]",), {"blocksize": 2}),
        Case("DepthToSpace", ("float32[n, 8, 2, 3]",), {"blocksize": 2, "mode": "CRD"}),
        Case("SpaceToDepth", ("float32[n, 2, 4, 6]",), {"blocksize": 2}),
        Case("Dropout", ("float32[n, 3]",)),
        # of (almost) no width: one number, and so the same in the runtime
        Case("RandomUniformLike", ("float32[n, 3]",), {"low": 2.0, "high": 2.0}),
        Case("RandomNormalLike", ("float32[n, 3]",), {"mean": -1.5, "scale": 1e-30}),
        Case("Dropout", ("float32[n, 3]", constant(0.0), constant(True, "bool")), {"outputs": 2}, by=(0,)),
    ]


CASES: list[Case] = [
    *_elementwise(),
    *_reductions(),
    *_shapes(),
    *_products(),
    *_indexing(),
    *_losses(),
    *_layers(),
]
