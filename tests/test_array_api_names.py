"""The Array API: names, signatures, dtypes, and what is refused."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from interchange import eager as E
from interchange.eager import Parameter, Tensor, check_gradient
from interchange.errors import InterchangeError, OperatorError
from tests.test_array_api import SIZES
from tests.tracing import agrees, run, traced


def test_every_public_name_is_there_and_documented():
    import interchange.eager.array_api as names

    assert len(set(names.__all__)) == len(names.__all__)
    for name in names.__all__:
        value = getattr(E, name)
        if callable(value) and not isinstance(value, type):
            assert value.__doc__, name
            assert value.__name__ == name
            inspect.signature(value)


def test_a_function_written_against_the_standard_is_exported(tmp_path):
    def softmax(x):
        xp = x.__array_namespace__()
        e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return e / xp.sum(e, axis=-1, keepdims=True)

    agrees(softmax, ["x: float32[n, m]"], SIZES)


def test_namespace_and_info():
    x = E.asarray([1.0])
    assert x.__array_namespace__() is E
    assert x.__array_namespace__(api_version="2023.12") is E
    info = E.__array_namespace_info__()
    assert info.default_dtypes() == {"real floating": E.float32, "integral": E.int64, "indexing": E.int64}
    assert set(info.dtypes(kind="signed integer")) == {"int8", "int16", "int32", "int64"}
    assert info.capabilities()["data-dependent shapes"]
    assert info.devices() == [info.default_device()] == [x.device]


def test_dtype_functions():
    assert E.isdtype(E.float32, ("integral", "real floating"))
    assert not E.isdtype(E.bool, "numeric")
    assert E.isdtype(E.int8, E.int8)
    assert E.can_cast(E.int8, E.int32)
    assert not E.can_cast(E.float32, E.int64)
    assert not E.can_cast(E.asarray(1.0), E.float16)
    assert E.result_type(E.float32, E.asarray([1.0], dtype="float64"), 2) == E.float64
    assert E.result_type(E.uint8, E.int8) == E.int16
    assert E.finfo(E.bfloat16).bits == 16
    assert E.finfo(E.asarray(1.0)).eps == np.finfo(np.float32).eps
    assert (E.iinfo(E.uint8).min, E.iinfo(E.uint8).max, E.iinfo("int64").max) == (0, 255, 2**63 - 1)


def test_several_axes_are_moved_in_any_order():
    x = np.zeros((2, 3, 4, 5), np.float32)
    for source, destination in (((0, 1), (3, 0)), ((3, 0), (0, 1)), ((1, 2), (2, 1)), (-1, 0)):
        assert E.moveaxis(E.asarray(x), source, destination).shape == np.moveaxis(x, source, destination).shape


def test_unique_in_the_order_of_first_occurrence():
    def model(x):
        return E.ops.Unique(x, sorted=0, outputs=4)

    values, first, inverse, counts = model(E.asarray([3.0, 1.0, 2.0, 1.0, 0.0, 3.0]))
    assert values.tolist() == [3, 1, 2, 0]
    assert first.tolist() == [0, 1, 2, 4]
    assert inverse.tolist() == [0, 1, 2, 1, 3, 0]
    assert counts.tolist() == [2, 2, 1, 1]
    agrees(lambda x: model(E.round(x)), ["x: float32[n, m]"], SIZES)


def test_the_gradient_of_unique_elements_reaches_their_first_occurrence():
    x = Tensor([[3.0, 1.0], [2.0, 1.0]], requires_grad=True)
    (E.unique_values(x) * E.asarray([10.0, 20.0, 30.0])).sum().backward()
    assert x.grad.tolist() == [[30, 10], [20, 0]]
    y = Tensor(np.array([[3.0, 1.0, 2.0], [1.0, 2.0, 3.0]]))
    check_gradient(lambda t: E.ops.Unique(t, axis=1) * E.asarray([[1.0], [5.0]], dtype="float64"), y)


def test_empty_tensors():
    none = E.zeros((0, 3))
    assert E.sum(none).item() == 0
    assert E.prod(none, axis=0).tolist() == [1, 1, 1]
    assert E.all(none).item() is True
    assert E.any(none).item() is False
    assert E.mean(none, axis=1).shape == (0,)
    assert E.concat([none, E.ones((2, 3))]).shape == (2, 3)
    assert E.sort(none).shape == E.flip(none).shape == E.roll(none, 1).shape == (0, 3)
    assert E.unstack(none) == ()
    assert E.matmul(E.ones((2, 0)), E.ones((0, 3))).tolist() == [[0] * 3] * 2
    assert E.tensordot(none, none, axes=0).shape == (0, 3, 0, 3)
    assert E.reshape(none, (3, 0)).shape == (3, 0)
    assert E.cumulative_sum(none, axis=0, include_initial=True).shape == (1, 3)
    assert E.unique_values(none).shape == (0,)
    assert E.arange(0).shape == E.linspace(0, 1, 0).shape == (0,)
    assert E.meshgrid(E.arange(0), E.arange(2))[0].shape == (2, 0)


def test_scalars_without_axes():
    x = E.asarray(3.0)
    assert E.sum(x).shape == E.argmax(x).shape == E.flip(x).shape == E.exp(x).shape == ()
    assert E.stack([x, x]).shape == (2,)
    assert E.reshape(x, (1, 1)).shape == (1, 1)
    assert E.broadcast_to(x, (2, 2)).tolist() == [[3, 3], [3, 3]]
    assert E.tile(x, (2,)).tolist() == [3, 3]
    assert E.unique_values(x).tolist() == [3]


def test_asarray_shares_memory_and_copies_when_asked():
    a = np.ones(3, np.float32)
    shared, copied = E.asarray(a), E.asarray(a, copy=True)
    a[0] = 5
    assert shared.tolist() == [5, 1, 1]
    assert copied.tolist() == [1, 1, 1]
    assert E.asarray(shared) is shared
    assert E.asarray(shared, copy=False) is shared
    assert E.asarray(b"ab").tolist() == [97, 98]


def test_a_list_of_tensors_keeps_their_gradients():
    p = Parameter([1.0, 2.0])
    (E.asarray([p, p * 3]) * 2).sum().backward()
    assert p.grad.tolist() == [8, 8]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: E.asarray([1, 2], copy=False), "IX119"),
        (lambda: E.asarray(np.ones(2), dtype="int64", copy=False), "IX119"),
        (lambda: E.ones((2,), device="cuda"), "IX119"),
        (lambda: E.from_dlpack(3), "IX119"),
        (lambda: E.zeros((-1,)), "IX119"),
        (lambda: E.zeros(1.5), "IX119"),
        (lambda: E.arange(0, 1, 0), "IX119"),
        (lambda: E.concat([]), "IX119"),
        (lambda: E.isdtype(E.int8, "number"), "IX119"),
        (lambda: E.finfo(E.int8), "IX119"),
        (lambda: E.result_type(1, 2.0), "IX119"),
        (lambda: E.meshgrid(E.ones((2,)), indexing="yx"), "IX119"),
        (lambda: E.searchsorted(E.ones((2,)), E.ones((2,)), side="middle"), "IX119"),
        (lambda: E.ones((2,)).__array_namespace__(api_version="1999.1"), "IX119"),
        (lambda: E.result_type(E.int8, E.float32), "IX111"),
        (lambda: E.concat([E.ones((2,)), E.arange(2)]), "IX111"),
        (lambda: E.add(E.asarray([True]), E.asarray([True])), "IX111"),
        (lambda: E.logical_and(E.ones((2,)), E.ones((2,))), "IX111"),
        (lambda: E.signbit(E.arange(2)), "IX111"),
        (lambda: E.sort(E.asarray([True])), "IX111"),
        (lambda: E.take(E.ones((2,)), E.ones((2,))), "IX111"),
        (lambda: E.exp(E.arange(2)), "IX111"),
        (lambda: E.mean(E.arange(2)), "IX131"),
        (lambda: E.divide(E.arange(2), 2), "IX131"),
        (lambda: E.asarray([1, 200], dtype="int8"), "IX114"),
        (lambda: E.add(E.asarray([1], dtype="int8"), 200), "IX114"),
        (lambda: E.add(E.asarray([1]), 0.5), "IX114"),
        (lambda: E.full((2,), -1, dtype="uint8"), "IX114"),
        (lambda: E.broadcast_to(E.ones((2, 3)), (3,)), "IX112"),
        (lambda: E.moveaxis(E.ones((2, 3)), 0, 2), "IX112"),
        (lambda: E.permute_dims(E.ones((2, 3)), (0, 0)), "IX112"),
        (lambda: E.matrix_transpose(E.ones((2,))), "IX112"),
        (lambda: E.vecdot(E.ones((2,)), E.ones((1,))), "IX112"),
        (lambda: E.tensordot(E.ones((2,)), E.ones((3,)), axes=1), "IX112"),
        (lambda: E.cumulative_sum(E.ones((2, 3))), "IX112"),
        (lambda: E.repeat(E.ones((3,)), E.asarray([1, 2])), "IX112"),
        (lambda: E.sum(E.ones((2,)), axis=1), "IX112"),
        (lambda: E.nonzero(E.asarray(1)), "IX112"),
        (lambda: E.squeeze(E.ones((2,)), axis=0), "IX112"),
        (lambda: E.expand_dims(E.ones((2,)), axis=3), "IX112"),
        (lambda: E.unstack(E.ones((2,)), axis=1), "IX112"),
        (lambda: E.take(E.ones((2,)), E.asarray([2])), "IX115"),
    ],
)
def test_a_wrong_argument_is_an_error_at_the_users_line(call, code):
    with pytest.raises(OperatorError) as caught:
        call()
    assert caught.value.code == code, str(caught.value)
    assert caught.value.where.startswith("test_array_api_names.py:")
    assert caught.value.expected
    assert str(caught.value)


def test_an_axis_out_of_range_is_an_index_error_too():
    with pytest.raises(IndexError):
        E.expand_dims(E.ones((2,)), axis=3)


@pytest.mark.parametrize(
    "model",
    [
        lambda x: E.unstack(x),
        lambda x: E.repeat(x, x.astype("int64")),
        lambda x: E.broadcast_to(x, (5,)),
    ],
)
def test_what_depends_on_a_size_or_the_data_is_refused_while_tracing(model):
    with pytest.raises(InterchangeError) as caught:
        traced(model, "x: float32[n]")
    assert caught.value.code == "IX112"
    assert caught.value.where.startswith("test_array_api_names.py:")


def test_a_size_is_a_value():
    trace, (out,) = traced(lambda x: E.asarray(x.shape[0]) * 2 + E.full((1,), x.shape[0]), "x: float32[n]")
    assert out.shape == (1,)
    assert run(trace, np.ones(5, np.float32))[0].tolist() == [15]
