"""The generator: good numbers, the same ones in eager code, in ONNX Runtime and after a restart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from interchange import eager as E
from interchange.eager import random
from interchange.eager.random import Generator
from interchange.errors import OperatorError

FIRST: list[list[object]] = [
    [2700261636, 3297796656, 1687782026, 2145853608],
    [[961321767, 2003722555], [2178054116, 3525274012]],
    [2, 0, 1, 5, 3, 4, 6, 7],
]


def test_the_first_numbers_never_change() -> None:
    """Runs of the past can be repeated: a change of the hash is a change of every seed."""
    g = Generator(42)
    assert g.bits([4]).tolist() == FIRST[0]
    assert g.bits([2, 2]).tolist() == FIRST[1]
    assert random.permutation(8, generator=Generator(1)).tolist() == FIRST[2]


def test_bits_are_uniform_and_independent() -> None:
    """Counts of each byte, of bits that follow, and of neighbours: within 5 standard deviations of chance."""
    words = Generator(7).bits([1 << 16]).numpy()
    assert len(np.unique(words)) == len(words)
    for shift in (0, 8, 16, 24):
        counts = np.bincount((words >> shift) & 255, minlength=256)
        chi = ((counts - len(words) / 256) ** 2 / (len(words) / 256)).sum()
        assert abs(chi - 255) < 5 * math.sqrt(2 * 255)
    signs = np.unpackbits(words.view(np.uint8).reshape(-1, 4), axis=1).astype(np.float64) * 2 - 1
    n = len(words)
    assert abs(signs.mean(0)).max() < 5 / math.sqrt(n)
    bits_of_a_word = signs.T @ signs / n - np.eye(32)
    assert abs(bits_of_a_word).max() < 5 / math.sqrt(n)
    neighbours = signs[:-1].T @ signs[1:] / n
    assert abs(neighbours).max() < 5 / math.sqrt(n)


@pytest.mark.parametrize("pair", [((1, 0), (2, 0)), ((1, 0), (1, 1)), ((0, 0), (1 << 32, 0)), ((5, 6), (6, 5))])
def test_streams_of_other_seeds_and_draws_are_unrelated(pair: tuple[tuple[int, int], tuple[int, int]]) -> None:
    streams = []
    for seed, draws in pair:
        g = Generator(seed)
        for _ in range(draws):
            g.bits([1])
        streams.append(np.unpackbits(g.bits([1 << 15]).numpy().view(np.uint8)).astype(np.float64) * 2 - 1)
    a, b = streams
    assert abs((a * b).mean()) < 5 / math.sqrt(len(a))
    c = np.fft.irfft(np.fft.rfft(a) * np.conj(np.fft.rfft(b))) / len(a)  # no shift of one is the other
    assert abs(c).max() < 7 / math.sqrt(len(a))


def test_distributions() -> None:
    n, g = 1 << 17, Generator(3)
    u = random.uniform([n], -2, 6, generator=g).numpy()
    assert -2 <= u.min() < u.max() < 6
    assert abs(u.mean() - 2) < 5 * 8 / math.sqrt(12 * n)
    assert abs(u.var() - 64 / 12) < 0.1
    z = random.normal([n], 1, 3, generator=g).numpy()
    assert abs(z.mean() - 1) < 15 / math.sqrt(n)
    assert abs(z.std() / 3 - 1) < 0.01
    s = (z - 1) / 3
    assert abs((s**3).mean()) < 0.05
    assert abs((s**4).mean() - 3) < 0.15
    assert abs((s < 1.0).mean() - 0.841345) < 0.006
    k = random.randint(-3, 4, [n], generator=g).numpy()
    counts = np.bincount(k + 3, minlength=7)
    assert counts.size == 7
    assert ((counts - n / 7) ** 2 / (n / 7)).sum() < 30
    b = random.bernoulli([n], 0.3, generator=g).numpy()
    assert b.dtype == bool
    assert abs(b.mean() - 0.3) < 5 * math.sqrt(0.21 / n)
    p = random.permutation(1000, generator=g).numpy()
    assert sorted(p.tolist()) == list(range(1000))
    assert (p == np.arange(1000)).sum() < 10


@pytest.mark.parametrize(("dtype", "digits"), [("float64", 53), ("float32", 24), ("float16", 11), ("bfloat16", 8)])
def test_fractions_are_exact_in_their_dtype_and_below_one(dtype: str, digits: int) -> None:
    u = random.uniform([4096], dtype=dtype, generator=Generator(5)).numpy()
    assert str(u.dtype) == dtype
    whole = u.astype(np.float64) * 2.0**digits
    assert (whole == np.floor(whole)).all()
    assert 0 <= u.astype(np.float64).min() < u.astype(np.float64).max() < 1
    assert random.normal([3], dtype=dtype).dtype == u.dtype


def test_a_seed_repeats_and_a_state_continues() -> None:
    a, b = Generator(9), Generator(9)
    assert (a.bits([5]).numpy() == b.bits([5]).numpy()).all()
    state = a.state_dict()
    after = a.bits([5]).tolist()
    assert a.bits([5]).tolist() != after
    fresh = Generator(0)
    fresh.load_state_dict(state)
    assert fresh.bits([5]).tolist() == after
    E_default = random.manual_seed(9)
    assert E_default is random.default_generator
    assert random.bits([5]).tolist() == Generator(9).bits([5]).tolist()
    assert Generator(-1).key.tolist() == Generator(2**64 - 1).key.tolist()


def test_the_counter_wraps_and_shapes_may_be_empty() -> None:
    g = Generator(0)
    g.counter.assign(np.array(0xFFFFFFFF, np.uint32))
    g.bits([1])
    assert g.counter.item() == 0
    assert g.bits([0, 3]).shape == (0, 3)
    assert g.bits([]).shape == ()
    assert random.permutation(0, generator=g).shape == (0,)


def test_a_compiled_function_draws_the_same_bits_and_advances_the_generator() -> None:
    a, b = Generator(11), Generator(11)

    def draw(g: Generator) -> tuple[E.Tensor, ...]:
        return (
            g.bits([3, 5, 7]),
            g.bits([]),
            random.uniform([4, 6], generator=g),
            random.uniform([8], -1, 3, dtype="float64", generator=g),
            random.bernoulli([9], 0.25, generator=g),
            random.randint(5, 11, [7], generator=g),
            random.permutation(40, generator=g),
            random.normal([50], generator=g),
        )

    step = E.compile(lambda: draw(a))
    for _ in range(3):
        for i, (x, y) in enumerate(zip(step(), draw(b), strict=True)):
            if i < 7:
                assert (x.dtype, x.numpy().tobytes()) == (y.dtype, y.numpy().tobytes()), i
            else:
                np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-5, atol=1e-6)
    assert step.compilations == 1
    assert a.counter.item() == b.counter.item() == 30


def test_mistakes() -> None:
    for wrong in (
        lambda: Generator(1.5),  # type: ignore[arg-type]
        lambda: random.bits([-1]),
        lambda: random.bernoulli([2], 1.5),
        lambda: random.randint(3, 3, [2]),
        lambda: random.randint(0, 2**33, [2]),
        lambda: random.randint(0, 3, [2], dtype="float32"),
        lambda: random.uniform([2], dtype="int32"),
    ):
        with pytest.raises(OperatorError) as info:
            wrong()
        assert info.value.code == "IX133"
