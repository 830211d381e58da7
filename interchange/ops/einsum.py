"""Einstein's sum. Its gradient is such a sum again."""

from __future__ import annotations

import string
from functools import lru_cache

import numpy as np

from interchange.dims import DimLike, Shape
from interchange.dtypes import Array, DType
from interchange.eager.tensor import Tensor, wrap
from interchange.ops.frame import Grads, op
from interchange.ops.shape_tools import must_equal, ones, refuse, sum_to

_Terms = tuple[tuple[str, ...], str]  # the labels of each operand and of the result, one letter an axis


@lru_cache(1024)
def _labels(equation: str, ranks: tuple[int, ...]) -> _Terms:
    """The equation with a letter for each axis: ``...`` and an implicit result are spelled out."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise refuse(f"{equation!r} has {len(terms)} terms for {len(ranks)} inputs", expected="one term an input")
    spare = [c for c in string.ascii_letters if c not in equation]
    wide = [rank - len(t.replace("...", "")) if "..." in t else 0 for t, rank in zip(terms, ranks, strict=True)]
    if len({n for t, n in zip(terms, wide, strict=True) if "..." in t}) > 1:
        raise refuse(f"... stands for different numbers of axes in {equation!r}", expected="one number in all terms")
    dots = "".join(spare[: max(wide)])
    full = []
    for k, (term, rank, n) in enumerate(zip(terms, ranks, wide, strict=True)):
        full.append(term.replace("...", dots[len(dots) - n :], 1) if n >= 0 else term)
        if len(full[-1]) != rank or not all(c in string.ascii_letters for c in full[-1]):
            raise refuse(
                f"the term {term!r} does not name the axes of input {k}, which has {rank}",
                expected="a letter for each axis, ... for any number of them",
            )
    if arrow:
        result = right.replace("...", dots, 1)
    else:  # the labels that occur once, in alphabetical order
        every = "".join(terms).replace("...", "")
        result = dots + "".join(sorted(c for c in set(every) if every.count(c) == 1))
    if len(set(result)) != len(result) or not set(result) <= set("".join(full)):
        raise refuse(
            f"the result {right!r} names an axis twice, or one that no input has",
            expected="each label at most once, and in a term",
        )
    return tuple(full), result


@op()
def Einsum(*Inputs: Array, equation: str) -> Array:
    """Products of the inputs, summed over the labels that the result leaves out: ``"bij,bjk->bik"``."""
    terms, result = _labels(equation, tuple(x.ndim for x in Inputs))
    dtype = Inputs[0].dtype
    native = Inputs if dtype.kind in "fiu" else [x.astype(np.float32) for x in Inputs]  # numpy has no sums of bfloat16
    return np.asarray(np.einsum(f"{','.join(terms)}->{result}", *native, optimize=len(Inputs) > 1), dtype)


@Einsum.shape
def _(*Inputs: Tensor, equation: str) -> Shape:
    terms, result = _labels(equation, tuple(len(x.shape) for x in Inputs))
    sizes: dict[str, DimLike] = {}
    for term, x in zip(terms, Inputs, strict=True):
        own: dict[str, DimLike] = {}
        for label, size in zip(term, x.shape, strict=True):
            own[label] = must_equal(own[label], size, f"the axes {label!r} of one input") if label in own else size
        for label, size in own.items():
            before = sizes.get(label, 1)
            if _is_one(before) or _is_one(size):  # an axis of size 1 is stretched
                sizes[label] = size if _is_one(before) else before
            else:
                sizes[label] = must_equal(before, size, f"axis {label!r}")
    return tuple(sizes[label] for label in result)


def _is_one(size: DimLike) -> bool:
    return isinstance(size, int) and size == 1


@Einsum.gradient
def _(g: Tensor, Inputs: list[Tensor], equation: str) -> Grads:
    terms, result = _labels(equation, tuple(len(x.shape) for x in Inputs))
    return tuple((lambda i=i: _by_input(g, Inputs, terms, result, i)) for i in range(len(Inputs)))


def _by_input(g: Tensor, inputs: list[Tensor], terms: tuple[str, ...], result: str, i: int) -> Tensor:
    """The sum with `g` in the place of input i, and that input's labels as the result."""
    operands = [g, *inputs[:i], *inputs[i + 1 :]]
    labels = [result, *terms[:i], *terms[i + 1 :]]
    spare = iter([c for c in string.ascii_letters if c not in "".join(terms)])
    wanted = ""
    for label, size in zip(terms[i], inputs[i].shape, strict=True):
        if label in wanted:  # a diagonal was taken: the gradient lies on it
            twin = next(spare)
            operands.append(_eye(size, g.dtype))
            labels.append(label + twin)
            label = twin
        wanted += label
    reached = {
        c
        for term, x in zip(labels, operands, strict=True)
        for c, d in zip(term, x.shape, strict=True)
        if not _is_one(d)
    }
    for label, size in zip(wanted, inputs[i].shape, strict=True):
        if label not in reached:  # an axis that was only summed: the same gradient all along it
            operands.append(ones((size,), g.dtype))
            labels.append(label)
    return sum_to(Einsum(*operands, equation=f"{','.join(labels)}->{wanted}"), inputs[i].shape)


def _eye(size: DimLike, dtype: DType) -> Tensor:
    """The identity matrix."""
    if isinstance(size, int):
        return wrap(np.eye(size).astype(dtype))
    from interchange.ops.indexing import count_to
    from interchange.ops.shape import Unsqueeze

    return (Unsqueeze(count_to(size), [0]) == Unsqueeze(count_to(size), [1])).astype(dtype)
