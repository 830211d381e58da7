"""A Tensor in Python: with NumPy and DLPack, in pickles, copies, comparisons and loops; what it refuses, and how."""

from __future__ import annotations

import copy
import math
import pickle

import ml_dtypes
import numpy as np
import pytest

from interchange import eager as E
from interchange.eager import Buffer, Parameter, Tensor, Variable, check_gradient, no_grad
from interchange.errors import InterchangeError, OperatorError


@pytest.fixture
def t():
    return Tensor([1.0, 2.0, 3.0])


# -- making one -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1, "int64"),
        (1.5, "float32"),
        (True, "bool"),
        ([1, 2.5], "float32"),
        ([[True], [False]], "bool"),
        (["a", "bc"], "object"),
        (np.float64(1), "float64"),
        (np.arange(3, dtype=">i4"), "int32"),
        (np.array([1], ml_dtypes.bfloat16), "bfloat16"),
        (range(3), "int64"),
        (2**63, "uint64"),
    ],
)
def test_dtypes_of_python_and_numpy_data(data, dtype):
    assert Tensor(data).dtype == np.dtype(dtype)


def test_the_constructor_copies_and_numpy_gives_a_read_only_view(t):
    a = np.zeros(2, np.float32)
    x = Tensor(a)
    a[0] = 1
    assert x.tolist() == [0, 0]
    with pytest.raises(ValueError, match="read-only"):
        x.numpy()[0] = 1
    assert np.shares_memory(t.numpy(), t.numpy())
    assert np.array(t, copy=True).flags.writeable


@pytest.mark.parametrize(
    ("data", "dtype", "code"),
    [
        ([[1], [1, 2]], None, "IX105"),
        ([1, None], None, "IX105"),
        ([2**70], None, "IX105"),
        (object(), None, "IX105"),
        ([256], "uint8", "IX114"),
        ([-1], "uint64", "IX114"),
        ([1.0], "float33", "IX801"),
        (np.array(["2020-01-01"], "datetime64[D]"), None, "IX801"),
    ],
)
def test_what_makes_no_tensor(data, dtype, code):
    with pytest.raises(InterchangeError) as caught:
        Tensor(data, dtype)
    assert caught.value.code == code


# -- with numpy -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "//", "%", "**", "<", "<=", ">", ">=", "==", "!=", "@"])
def test_operators_with_arrays_and_numpy_scalars_on_either_side(symbol, t):
    a = np.array([2, 2, 5], np.float32)
    for other in (a, np.float32(2)) if symbol != "@" else (a,):
        for pair in ((t, other), (other, t)):
            found = eval(f"a {symbol} b", dict(zip("ab", pair, strict=True)))
            expected = eval(f"a {symbol} b", dict(zip("ab", map(np.asarray, pair), strict=True)))
            assert isinstance(found, Tensor)
            np.testing.assert_allclose(found.numpy(), expected)


def test_numpy_reads_a_tensor(t):
    assert np.asarray(t).tolist() == [1, 2, 3]
    assert np.asarray(t, dtype=np.float64).dtype == np.float64
    assert np.stack([t, t]).shape == (2, 3)
    with pytest.raises(ValueError, match="copy"):
        np.asarray(t, dtype=np.float64, copy=False)


def test_dlpack_both_ways(t):
    assert np.from_dlpack(t).tolist() == [1, 2, 3]
    a = np.arange(4, dtype=np.int16)
    x = E.from_dlpack(a)
    assert np.shares_memory(x.numpy(), a)
    assert not np.shares_memory(E.from_dlpack(a, copy=True).numpy(), a)
    assert t.__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError, match="bfloat16"):
        np.from_dlpack(Tensor([1.0], "bfloat16"))


def test_dlpack_with_torch(t):
    torch = pytest.importorskip("torch")
    assert torch.from_dlpack(E.asarray(np.arange(3.0))).tolist() == [0, 1, 2]
    assert E.from_dlpack(torch.ones(2)).tolist() == [1, 1]
    assert Tensor(torch.ones(2)).tolist() == [1, 1]


# -- in Python --------------------------------------------------------------------------------------------------------
def test_pickles_and_copies_keep_what_it_is(t):
    for x in (t, Tensor([1.0], requires_grad=True), Parameter([1.0, 2.0]), Buffer([1]), Tensor(["a"])):
        for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
            assert y.tolist() == x.tolist()
            assert (y.dtype, y.requires_grad) == (x.dtype, x.requires_grad)
            assert y is not x
        assert type(pickle.loads(pickle.dumps(x))) is type(x)


def test_two_names_for_one_parameter_stay_one_in_a_copy():
    p = Parameter([1.0])
    q, r = copy.deepcopy([p, p])
    assert q is r
    assert q is not p
    assert type(q) is Parameter


def test_loops_length_and_membership(t):
    assert [float(x) for x in t] == [1, 2, 3]
    assert len(t) == 3
    assert [row.tolist() for row in Tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    assert 2 in t
    assert 5 not in t
    assert 4 in Tensor([[1, 2], [3, 4]])
    first, *_ = t
    assert first.shape == ()
    for ask in (len, iter):
        with pytest.raises(TypeError, match="without axes"):
            ask(Tensor(1.0))


def test_numbers_of_a_tensor():
    assert float(Tensor([2.5])) == 2.5
    assert int(Tensor(7)) == 7
    assert complex(Tensor(2.0)) == 2
    assert [10, 20, 30][Tensor(1)] == 20
    assert bool(Tensor([[1]])) is True
    assert Tensor(-0.0).item() == 0
    assert math.copysign(1, Tensor(-0.0).item()) == -1
    with pytest.raises(TypeError):
        [1, 2][Tensor(1.0)]


def test_hash_is_identity_and_equality_is_elementwise(t):
    assert len({t, Tensor([1.0, 2.0, 3.0])}) == 2
    assert {t: 1}[t] == 1
    assert (t == [1, 2, 4]).tolist() == [True, True, False]
    assert (t != (1, 2, 4)).tolist() == [False, False, True]
    assert (Tensor(["a", "b"]) == "a").tolist() == [True, False]
    assert (t == None) is False  # noqa: E711
    assert (t == "a") is False


def test_comparison_chains_ask_for_a_truth(t):
    with pytest.raises(OperatorError) as caught:
        _ = 0 < t < 2
    assert caught.value.code == "IX103"
    assert caught.value.where.startswith("test_tensor.py:")
    assert bool(0 < Tensor(1.0) < 2)


def test_in_place_operators_bind_a_new_tensor(t):
    before = t
    t += 1
    assert before.tolist() == [1, 2, 3]
    assert t.tolist() == [2, 3, 4]


def test_a_tensor_is_immutable(t):
    with pytest.raises(OperatorError) as caught:
        t[0] = 1.0
    assert caught.value.code == "IX118"
    assert "where(" in caught.value.fix


# -- arithmetic of Python ---------------------------------------------------------------------------------------------
def test_numbers_take_the_dtype_of_the_tensor_if_they_fit():
    for dtype in ("float16", "bfloat16", "float32", "float64", "int8", "uint64"):
        assert (Tensor([1], dtype) + 1).dtype == (2 * Tensor([1], dtype)).dtype == Tensor([1], dtype).dtype
    assert (Tensor([1.0]) * 1e300).tolist() == [math.inf]
    for make in (
        lambda: Tensor([1], "int8") + 128,
        lambda: Tensor([1], "uint8") - (-1),
        lambda: Tensor([1]) * 0.5,
        lambda: Tensor([True]) | 1,
        lambda: Tensor([1]) + 2**63,
    ):
        with pytest.raises(OperatorError) as caught:
            make()
        assert caught.value.code == "IX114"
        assert caught.value.where.startswith("test_tensor.py:")


def test_zeros_of_both_signs_are_not_mixed_up_by_the_cache_of_numbers():
    one = Tensor([1.0])
    for value in (0.0, -0.0, 0.0):
        assert math.copysign(1, (one * value).item()) == math.copysign(1, value)


@pytest.mark.parametrize(
    ("a", "b", "wide"),
    [
        ("float32", "float64", "float64"),
        ("float16", "bfloat16", "float32"),
        ("int8", "uint8", "int16"),
        ("int32", "uint32", "int64"),
        ("uint8", "uint64", "uint64"),
    ],
)
def test_promotion_within_a_kind(a, b, wide):
    x, y = Tensor([1], a), Tensor([1], b)
    assert (x + y).dtype == (y + x).dtype == np.dtype(wide)


@pytest.mark.parametrize(
    ("a", "b"), [("float32", "int64"), ("int64", "bool"), ("int64", "uint64"), ("bool", "float32")]
)
def test_kinds_are_not_mixed(a, b):
    with pytest.raises(OperatorError) as caught:
        Tensor([1], a) + Tensor([1], b)
    assert caught.value.code == "IX111"
    assert a in caught.value.found
    assert b in caught.value.found


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x + x,
        lambda x: -x,
        lambda x: x * x,
        lambda x: x < x,
        lambda x: abs(x),
        lambda x: x**x,
    ],
)
def test_bools_are_not_numbers(ask):
    with pytest.raises(OperatorError) as caught:
        ask(Tensor([True, False]))
    assert caught.value.code == "IX111"
    assert caught.value.where.startswith("test_tensor.py:")


def test_bools_have_logic():
    x, y = Tensor([True, True, False]), Tensor([True, False, False])
    assert (x & y).tolist() == [True, False, False]
    assert (x | y).tolist() == [True, True, False]
    assert (x ^ y).tolist() == [False, True, False]
    assert (~x).tolist() == [False, False, True]
    assert x.sum().item() == 2


def test_shifts_of_signed_integers():
    x = np.array([-128, -7, -1, 0, 1, 7, 127], np.int8)
    for by in (0, 1, 3, 7):
        assert (Tensor(x) >> by).tolist() == (x >> by).tolist()
        assert (Tensor(x) << by).tolist() == (x << by).tolist()


@pytest.mark.parametrize("dtype", ["int8", "int64"])
def test_floor_division_of_the_least_integer(dtype):
    low = np.iinfo(dtype).min
    x = Tensor([low, -6, -7, 7], dtype)
    assert (x // 3).tolist() == [low // 3, -2, -3, 2]
    assert (x % 3).tolist() == [low % 3, 0, 2, 1]


def test_no_fraction_is_lost():
    for ask in (lambda: Tensor([1]) / 2, lambda: Tensor([1, 2]).mean(), lambda: Tensor([1, 2]).var()):
        with pytest.raises(OperatorError) as caught:
            ask()
        assert caught.value.code == "IX131"


def test_sums_of_small_integers_do_not_overflow():
    assert Tensor([200, 200], "uint8").sum().item() == 400
    assert Tensor([100, 100], "int8").sum().dtype == np.int64
    assert Tensor([200, 100], "uint16").max().item() == 200


def test_matrix_products_of_small_integers():
    a = np.array([[1, 2], [3, 100]], np.int8)
    assert (Tensor(a) @ Tensor(a)).tolist() == (a @ a).tolist()
    assert (Tensor(a) @ a).dtype == np.int8


# -- gradients through Python's operators -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x + y * 2 - 3,
        lambda x, y: 1 / x - y / x,
        lambda x, y: x**2 + 2**y + x**y,
        lambda x, y: x % y,
        lambda x, y: abs(-x) @ y.T,
        lambda x, y: x.clip(0.6, 1.2) + y.clip(max=x),
        lambda x, y: x.var(axis=1, correction=1) + y.std(axis=0).sum(),
        lambda x, y: x.mT @ y,
        lambda x, y: x.flatten() * y.reshape(-1),
        lambda x, y: x.expand(2, -1, -1) * y.unsqueeze(0),
    ],
)
def test_gradients(function):
    rng = np.random.default_rng(2)
    check_gradient(function, *(Tensor(rng.uniform(0.3, 1.5, (3, 4))) for _ in "xy"))


def test_integers_and_comparisons_have_none(t):
    p = Parameter([1.0, 2.0])
    assert not (p > 1).requires_grad
    assert not p.astype("int32").requires_grad
    with no_grad():
        assert not (p * 2).requires_grad


# -- errors -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda: setattr(Tensor([1.0], requires_grad=True) * 2, "requires_grad", False), "IX101"),
        (lambda: setattr(Tensor([1.0]), "grad", Tensor([1.0])), "IX101"),
        (lambda: Tensor([1.0]).register_hook(print), "IX101"),
        (lambda: Tensor([1], requires_grad=True), "IX102"),
        (lambda: float(Tensor([1.0, 2.0])), "IX103"),
        (lambda: bool(Tensor([])), "IX103"),
        (lambda: Variable([1.0]).assign([1.0, 2.0]), "IX104"),
        (lambda: Variable([1.0]).assign(Tensor([1])), "IX104"),
        (lambda: Tensor([1.0]).backward(), "IX106"),
        (lambda: (Parameter([1.0, 2.0]) * 2).backward(), "IX107"),
        (lambda: Parameter([1.0, 2.0]).sum().backward(Tensor([1.0])), "IX107"),
        (lambda: Tensor([1.0, 2.0]) + Tensor([1.0, 2.0, 3.0]), "IX112"),
        (lambda: Tensor([1.0]).T, "IX112"),
        (lambda: Tensor([1.0]).mT, "IX112"),
        (lambda: Tensor([[1.0]]).transpose(0, 2), "IX112"),
        (lambda: Tensor([[1.0]]).flatten(3), "IX112"),
        (lambda: Tensor([1.0]).sum(axis=1), "IX112"),
        (lambda: Tensor([1.0, 2.0]).reshape(3), "IX112"),
        (lambda: Tensor([1.0]).to_device("cuda"), "IX119"),
    ],
)
def test_a_wrong_use_is_an_error_at_the_users_line(ask, code):
    with pytest.raises(OperatorError) as caught:
        ask()
    assert caught.value.code == code
    assert caught.value.where.startswith("test_tensor.py:")
    assert caught.value.found
    assert caught.value.expected
    assert caught.value.fix or code == "IX112"


def test_backward_twice_needs_to_be_asked_for():
    p = Parameter([2.0])
    loss = (p * p).sum()
    loss.backward()
    with pytest.raises(OperatorError) as caught:
        loss.backward()
    assert caught.value.code == "IX108"


def test_no_grad_may_be_entered_again_before_it_is_left():
    x = Tensor([1.0], requires_grad=True)
    off = no_grad()
    with off, off:
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


@pytest.mark.parametrize("number", [10**400, -(10**5000)], ids=["large", "beyond what Python prints"])
def test_a_number_beyond_all_floats_is_refused(number):
    with pytest.raises(OperatorError, match="IX114"):
        Tensor([1.0]) * number
