"""Indexing agrees with NumPy: eagerly, traced at symbolic sizes and run in ONNX Runtime, and in its gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interchange import eager as E
from interchange.eager import Parameter, Tensor, check_gradient
from interchange.errors import InterchangeError, OperatorError
from tests.tracing import agrees, run, traced


# -- any index NumPy takes --------------------------------------------------------------------------------------------
@st.composite
def slices(draw, size):
    ends = st.none() | st.integers(-size - 3, size + 3)
    return slice(draw(ends), draw(ends), draw(st.none() | st.integers(-3, 3).filter(bool)))


@st.composite
def shapes_and_keys(draw, arrays=True, least=0):
    """A shape and an index that NumPy takes for it: the axes named in order, None and ... in between."""
    shape = tuple(draw(st.lists(st.integers(least, 4), min_size=1, max_size=4)))
    together = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))  # what the arrays broadcast to
    masked = False  # the count of a mask broadcasts with other arrays only by luck
    key, axis = [], 0
    while axis < len(shape) and draw(st.integers(0, 5)):
        size = shape[axis]
        kinds = ["slice", "new"] + (["int"] if size else [])
        if arrays and not masked:
            kinds += ["array"] if size else []
            kinds += ["mask"] if not any(isinstance(k, np.ndarray) for k in key) else []
        kind = draw(st.sampled_from(kinds))
        if kind == "slice":
            key.append(draw(slices(size)))
        elif kind == "new":
            key.append(None)
            continue
        elif kind == "int":
            key.append(draw(st.integers(-size, size - 1)))
        elif kind == "array":
            cut = draw(st.integers(0, len(together)))
            own = tuple(draw(st.sampled_from([1, d])) for d in together[cut:])
            count = int(np.prod(own))
            drawn = draw(st.lists(st.integers(-size, size - 1), min_size=count, max_size=count))
            key.append(np.array(drawn, np.int64).reshape(own))
        else:
            rank = draw(st.integers(1, min(2, len(shape) - axis)))
            sizes = shape[axis : axis + rank]
            count = int(np.prod(sizes))
            drawn = draw(st.lists(st.booleans(), min_size=count, max_size=count))
            key.append(np.array(drawn, bool).reshape(sizes))
            masked = True
            axis += rank - 1
        axis += 1
    if draw(st.booleans()):
        key.insert(draw(st.integers(0, len(key))) if axis == len(shape) else len(key), Ellipsis)
    return shape, tuple(key)


def counting(shape):
    return np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)


@settings(max_examples=400, deadline=None)
@given(shapes_and_keys())
def test_any_index_gives_what_numpy_gives(case):
    shape, key = case
    x = counting(shape)
    found = Tensor(x)[key]
    expected = x[key]
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.numpy(), expected)


@settings(max_examples=100, deadline=None)
@given(shapes_and_keys())
def test_index_tensors_are_as_good_as_arrays(case):
    shape, key = case
    x = counting(shape)
    tensors = tuple(E.asarray(k) if isinstance(k, np.ndarray) else k for k in key)
    np.testing.assert_array_equal(Tensor(x)[tensors].numpy(), x[key])


@settings(max_examples=60, deadline=None)
@given(shapes_and_keys())
def test_a_traced_index_gives_what_numpy_gives(case):
    shape, key = case
    x = counting(shape)
    trace, (out,) = traced(lambda t: t[key], f"x: float32[{', '.join(map(str, shape))}]")
    assert out.shape == x[key].shape
    np.testing.assert_array_equal(run(trace, x)[0], x[key])


@settings(max_examples=60, deadline=None)
@given(shapes_and_keys(arrays=False, least=1), st.integers(0, 3), st.data())
def test_a_basic_index_of_symbolic_axes_is_right_at_every_size_that_its_guards_admit(case, extra, data):
    shape, key = case
    names = [f"d{i}" for i in range(len(shape))]
    trace, _ = traced(lambda t: t[key], f"x: float32[{', '.join(names)}]")
    sizes = [shape, tuple(d + extra for d in shape), (1,) * len(shape), tuple(d + 11 for d in shape)]
    for size in sizes:
        at = dict(zip(names, size, strict=True))
        if all(g.condition.at(at) for g in trace.guards):
            x = counting(size)
            (found,) = run(trace, x)
            assert found.shape == x[key].shape, (size, [str(g.condition) for g in trace.guards])
            np.testing.assert_array_equal(found, x[key])


# -- by name ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "key",
    [
        (0, slice(None), [1, 2]),  # apart: the axes of the array come first
        (slice(None), 0, [1, 2]),  # neighbours: they stay in place
        (slice(None), [0, 1], None, [1, 2]),
        ([0, 1], Ellipsis, [1, 2]),
        (slice(None), [0, 1], Ellipsis, [1, 2], slice(None)),
        ([[0], [1]], [1, 2]),
        (np.int64(1), np.array(0), slice(None)),
        ([], slice(None)),
        (slice(-100, None, -1),),
        (slice(None, -100, -1),),
        (slice(3, 1),),
        (True,),
        (np.bool_(False), slice(1)),
        (slice(None), None, Ellipsis, None, -1),
        (np.array([1], np.uint8), slice(None, None, 2)),
    ],
    ids=str,
)
def test_places_of_arrays_and_ends_of_slices(key):
    x = counting((2, 3, 4, 5))
    np.testing.assert_array_equal(Tensor(x)[key].numpy(), x[key])


def test_a_mask_of_a_scalar_keeps_it_or_drops_it():
    x = np.float32(3)
    for keep in (True, False):
        np.testing.assert_array_equal(Tensor(x)[E.asarray(keep)].numpy(), np.asarray(x)[np.asarray(keep)])


def test_a_mask_of_no_element_takes_nothing():
    assert Tensor(counting((3, 2)))[np.zeros((0,), bool)].shape == (0, 2)
    assert Tensor(counting((0, 2)))[np.zeros((0, 0), bool)].shape == (0,)


SIZES = [{"n": 1, "m": 2}, {"n": 3, "m": 2}, {"n": 17, "m": 5}]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[x.shape[0] - 1],
        lambda x: x[: x.shape[0] // 2],
        lambda x: x[-x.shape[0] :],
        lambda x: x[::-1, ::-2],
        lambda x: x[-1, ..., None],
        lambda x: x[0, 1],
        lambda x: x[:, -2],
        lambda x: x[x.shape[0] // 2 :, x.shape[1] - 2],
        lambda x: x[E.arange(x.shape[0]), E.argmax(x, axis=1)],
        lambda x: x[E.argsort(x[:, 0])],
        lambda x: x[x > 0],
        lambda x: x[x[:, 0] > 0, 1:],
        lambda x: x[:, x[0] > 0],
        lambda x: x[[0, -1]],
        lambda x: x[(x > 0)[:, 0]].sum(axis=0),
    ],
)
def test_sizes_and_computed_positions_are_traced(function):
    agrees(function, ["x: float32[n, m]"], SIZES)


def test_an_integer_beyond_the_least_size_is_a_guard():
    trace, (out,) = traced(lambda x: x[3], "x: float32[n, 2]")
    assert [str(g.condition) for g in trace.guards] == ["n >= 4"]
    assert out.shape == (2,)
    trace, _ = traced(lambda x: x[-2, :], "x: float32[n, 2]")
    assert [str(g.condition) for g in trace.guards] == ["n >= 2"]
    trace, _ = traced(lambda x: x[0] + x[-1], "x: float32[n, 2]")
    assert trace.guards == []


def test_an_index_that_no_size_admits_is_an_error():
    with pytest.raises(OperatorError) as caught:
        traced(lambda x: x[x.shape[0]], "x: float32[n]")
    assert caught.value.code == "IX115"


def test_one_integer_index_of_a_fixed_axis_needs_no_gather():
    trace, _ = traced(lambda x: x[0], "x: float32[3, n]")
    assert [n.op_type for n in trace.graph.nodes] == ["Slice", "Squeeze"]


# -- errors -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("key", "code"),
    [
        (3, "IX115"),
        (-4, "IX115"),
        ((0, 0, 0), "IX115"),
        ([0, 3], "IX115"),
        (([0], [-5]), "IX115"),
        (np.ones(2, bool), "IX115"),
        (np.ones((3, 3), bool), "IX115"),
        ((slice(None), np.ones(3, bool)), "IX115"),
        (1.0, "IX117"),
        ("a", "IX117"),
        ([0.5], "IX117"),
        (slice(0.5, None), "IX117"),
        (slice(None, None, 0), "IX117"),
        ((Ellipsis, Ellipsis), "IX117"),
        ({}, "IX117"),
        (([0, 1], [0, 1, 2]), "IX112"),
    ],
    ids=str,
)
def test_a_wrong_index_is_an_error_at_the_users_line(key, code):
    x = Tensor(counting((3, 4)))
    with pytest.raises(InterchangeError) as caught:
        x[key]
    assert caught.value.code == code
    assert isinstance(caught.value, IndexError) or code == "IX112"
    assert caught.value.expected
    if code != "IX112":
        assert caught.value.where.startswith("test_indexing.py:")
        assert caught.value.fix


def test_a_mask_that_may_not_fit_is_refused_while_tracing():
    with pytest.raises(OperatorError) as caught:
        traced(lambda x, y: x[y > 0], "x: float32[n]", "y: float32[m]")
    assert caught.value.code == "IX112"


# -- gradients --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "key",
    [
        (1,),
        (slice(None), -1),
        (slice(2, None), slice(None, None, 2)),
        (slice(None, None, -1), None, slice(1, 3)),
        (Ellipsis, 0),
        ([2, 0, 2],),
        (slice(None), [[0, 1], [1, 1]]),
        ([0, 2], [3, 3]),
        (0, slice(None), [1, 1]),
        (np.array([True, False, True]),),
        (np.arange(12).reshape(3, 4) % 3 == 0,),
        ([],),
    ],
    ids=str,
)
def test_gradients(key):
    rng = np.random.default_rng(1)
    x = Tensor(rng.standard_normal((3, 4, 2) if len(key) == 3 and key[0] == 0 else (3, 4)))
    weights = Tensor(rng.standard_normal(x[key].shape))
    check_gradient(lambda t: t[key] * weights, x)
    check_gradient(lambda t: (t[key] * t[key]).sum(), x)


def test_the_gradient_of_a_traced_index():
    def model(x):
        y = (x[1:, ::2] ** 2).sum() + x[E.argsort(x[:, 0])][0].sum() + x[-1, 0]
        return E.grad(lambda t: (t[1:, ::2] ** 2).sum() + (t[[0, 0]] * t[-1]).sum())(x), y

    agrees(model, ["x: float32[n, m]"], SIZES)


def test_reading_all_of_a_variable_is_its_present_value():
    p = Parameter([1.0, 2.0])
    before, same = p[...], p[()]
    p.assign([3.0, 4.0])
    assert before.tolist() == same.tolist() == [1.0, 2.0]
    assert before.requires_grad
