"""Inputs to try a model on: the example, and other admissible sizes, size 1 and a large prime among them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from interchange.dims import Guard, Spec, evaluate
from interchange.dtypes import Array, DType, is_float, is_integer

Sizes = dict[str, int]
Bounds = Mapping[str, tuple[int, int | None]]

_PRIMES = (31, 29, 23, 19, 17, 13, 11, 7)  # sizes that nothing divides: a baked shape cannot hide behind a multiple
_COMMON = (1, 2, 4, 8, 16, 32, 64, 128, 3, 6, 12, 24, 48, 96, 224)


def admissible(sizes: Sizes, dims: Bounds, guards: Sequence[Guard]) -> bool:
    """Whether these sizes are within the bounds and satisfy every guard (that they can decide)."""
    for name, size in sizes.items():
        low, high = dims[name]
        if size < low or (high is not None and size > high):
            return False
    try:
        return all(g.condition.at(sizes) for g in guards)
    except KeyError:  # a guard on a size that only the data decides
        return True


def sample_sizes(dims: Bounds, guards: Sequence[Guard], count: int, example: Sizes | None = None) -> list[Sizes]:
    """Up to `count` assignments of the named sizes that satisfy the guards, the example's first.

    Then the least sizes that are admissible (1 where it may be), then large primes, another for each name, so that no
    two names have one size by accident; then 0 where the bounds admit it; then mixtures.
    """
    names = list(dims)
    if not names:
        return [{}]
    chosen: list[Sizes] = [example] if example else []
    found = (c for c in _candidates(names, dims) if admissible(c, dims, guards))
    first = next(found, None)
    if first is None:
        return chosen
    for candidate in itertools.chain([_least(first, dims, guards, 1), first, _least(first, dims, guards, 0)], found):
        if len(chosen) >= count:
            break
        if candidate not in chosen:
            chosen.append(candidate)
    return chosen


def _least(sizes: Sizes, dims: Bounds, guards: Sequence[Guard], floor: int) -> Sizes:
    """`sizes` with each name in turn at the smallest value that is still admissible: where guards are tightest."""
    least = dict(sizes)
    for name in least:
        smaller = range(max(dims[name][0], floor), least[name])
        least[name] = next((v for v in smaller if admissible({**least, name: v}, dims, guards)), least[name])
    return least


def _candidates(names: list[str], dims: Bounds) -> Iterator[Sizes]:
    for shift in range(len(_PRIMES)):  # different primes for different names
        yield {n: _PRIMES[(i + shift) % len(_PRIMES)] for i, n in enumerate(names)}
    low = {n: dims[n][0] for n in names}
    for size in (*_PRIMES, *_COMMON):
        yield {n: low[n] + size - 1 for n in names}
        yield dict.fromkeys(names, size)
    # guards that tie sizes together: a bounded search
    combinations = itertools.product(range(1, 65), repeat=len(names))
    yield from (dict(zip(names, c, strict=True)) for c in itertools.islice(combinations, 20_000))


def random_array(spec: Spec, sizes: Mapping[str, int], rng: np.random.Generator, example: Array | None) -> Array:
    """Data for one input: floats from the normal distribution; integers from the example's range, else 0 and 1."""
    shape = tuple(evaluate(d, sizes) for d in spec.shape)
    return _random(spec.dtype, shape, rng, example)


def _random(dtype: DType, shape: tuple[int, ...], rng: np.random.Generator, example: Array | None) -> Array:
    if dtype.kind == "O":
        pool = [str(t) for t in example.reshape(-1)] if example is not None and example.size else ["a", "b", "text"]
        return rng.choice(np.array(pool, object), shape)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if is_integer(dtype):
        low, high = (int(example.min()), int(example.max())) if example is not None and example.size else (0, 1)
        return rng.integers(low, high, shape, endpoint=True).astype(dtype)
    values = rng.standard_normal(shape)
    if example is not None and example.size and is_float(dtype):  # within the example's range: a log stays a log
        low_f, high_f = float(np.nanmin(example.astype(np.float64))), float(np.nanmax(example.astype(np.float64)))
        if np.isfinite([low_f, high_f]).all() and low_f < high_f:
            values = rng.uniform(low_f, high_f, shape)
    if dtype.kind == "c":
        return (values + 1j * rng.standard_normal(shape)).astype(dtype)
    return values.astype(dtype)
