"""Tracing: nothing baked, nothing guessed; sizes stay symbolic and the graph is right at other sizes."""

from __future__ import annotations

import numpy as np
import pytest

from interchange import ops
from interchange.dims import Dim, evaluate
from interchange.eager import Buffer, Parameter, Tensor, grad, vjp
from interchange.eager.trace import Trace
from interchange.errors import InterchangeError, OperatorError, TraceError
from tests.tracing import agrees, run, traced

SIZES = [{"n": 1, "m": 3}, {"n": 7, "m": 1}, {"n": 4, "m": 13}]


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda x: bool(x.sum() > 0), "IX203"),
        (lambda x: int(x.sum()), "IX203"),
        (lambda x: float(x.sum()), "IX203"),
        (lambda x: x.numpy(), "IX203"),
        (lambda x: np.asarray(x), "IX203"),
        (lambda x: x.tolist(), "IX203"),
        (lambda x: x.sum().item(), "IX203"),
        (lambda x: len(x), "IX201"),
        (lambda x: list(x), "IX201"),
        (lambda x: range(x.shape[0]), "IX201"),
        (lambda x: float(x.shape[0]), "IX201"),
        (lambda x: x.shape[0] > 3, "IX202"),
        (lambda x: x.shape[0] == 1, "IX202"),
        (lambda x: bool(x.shape[0] - 1), "IX202"),
    ],
)
def test_asking_for_a_value_is_an_error_at_the_users_line(ask, code):
    with pytest.raises(TraceError) as caught:
        traced(ask, "float32[n, 3]")
    assert caught.value.code == code
    assert caught.value.where is not None
    assert caught.value.where.startswith("test_trace.py:")
    assert caught.value.fix


def test_comparisons_that_always_hold_are_answered():
    def model(x):
        n = x.shape[0]
        assert n >= 1
        assert n != 0
        assert n + 1 > n
        assert 2 * n == n + n
        assert n * 3 // 3 == n
        assert not n < 1
        return x

    traced(model, "float32[n]")


def test_compile_mode_specialises_and_guards():
    with Trace(21, specialise=True) as trace:
        x = trace.input("x", np.dtype("f4"), (Dim("n", hint=5),))
        assert x.shape[0] > 3
        assert x.shape[0] != 9
    assert [str(g.condition) for g in trace.guards] == ["n >= 4", "n <= 8"]


def test_sizes_in_values_and_shapes_stay_symbolic():
    def model(x, y):
        n, m = x.shape
        mean = x.sum() / n
        flat = x.reshape(n * m)
        pairs = y.reshape(m, n, 2).transpose(1, 0, 2)
        rest = x[: n // 2 + 1]
        return (
            mean,
            flat,
            pairs,
            x.mean(0),
            rest,
            x.reshape(-1, 1) * 2,
            ops.Expand(x.sum(), ops.Shape(y)),
            (x + n)[:, -1],
        )

    agrees(model, ["float32[n, m]", "float32[m, n, 2]"], SIZES)


def test_size_one_does_not_broadcast_by_accident():
    agrees(lambda x, y: x + y, ["float32[n, m]", "float32[n, m]"], SIZES)
    agrees(lambda x, y: x + y, ["float32[n, m]", "float32[1, m]"], SIZES)
    for other in ("float32[m, n]", "float32[3, m]", "float32[k, m]"):
        with pytest.raises(OperatorError) as caught:
            traced(lambda x, y: x + y, "float32[n, m]", other)
        assert caught.value.code == "IX112"
        assert "x0: " not in str(caught.value)
        assert "A: float32[n, m]" in str(caught.value)


def test_what_an_operator_requires_becomes_a_guard():
    trace, (out,) = traced(lambda x: x.reshape(-1, 4), "float32[n]")
    assert [str(g.condition) for g in trace.guards] == ["n%4 == 0"]
    assert str(out.shape[0]) == "n//4"
    assert trace.guards[0].where.startswith("test_trace.py:")
    with pytest.raises(InterchangeError):
        traced(lambda x: x.reshape(-1, 4), "float32[4*n + 1]")


@pytest.mark.parametrize(
    ("model", "guards"),
    [
        (lambda x: x[: x.shape[0] - 3], ["n >= 3"]),
        (lambda x: x[x.shape[0] - 3 :], ["n >= 3"]),
        (lambda x: x[(x.shape[0] - 5) // 2 :], None),
        (lambda x: x[-x.shape[0] // 2 :], []),
        (lambda x: x[x.shape[0] - 2 :: -1], ["n >= 2"]),
        (lambda x: x.reshape(x.shape[0] // 2, -1), ["n//2 >= 1", "n%(n//2) == 0"]),
        (lambda x: x * (x.shape[0] // (x.shape[0] - 4)), ["n >= 5"]),
        (lambda x: x * (x.shape[0] // -2), []),
        (lambda x: x * ops.Div(ops.Shape(x) - 6, 4)[0].astype("float32"), []),
        (lambda x: x * ops.Mod(ops.Shape(x) - 6, 4, fmod=1)[0].astype("float32"), []),
    ],
)
def test_sizes_that_can_be_negative_or_zero(model, guards):
    """Either a graph is right at a size, in the shape it declares and in the numbers, or a guard excludes the size."""
    trace, (out,) = traced(model, "float32[n]")
    assert guards is None or [str(g.condition) for g in trace.guards] == guards
    right = 0
    for n in range(1, 12):
        x = np.arange(n, dtype=np.float32)
        if all(g.condition.at({"n": n}) for g in trace.guards):
            right += 1
            (found,) = run(trace, x)
            np.testing.assert_array_equal(found, model(Tensor(x)).numpy(), err_msg=f"n={n}")
            assert found.shape == tuple(evaluate(d, {"n": n}) for d in out.shape)
    assert right >= 2


def test_a_size_of_the_data_is_no_size_of_the_user():
    _, (out,) = traced(lambda x: ops.NonZero(x), "float32[nonzero]")
    assert str(out.shape[1]) == "nonzero_1"


def test_a_split_that_is_exact_for_some_sizes_becomes_a_guard():
    trace, (out,) = traced(lambda x: x.reshape(x.shape[0], x.shape[1] // 4, 4), "float32[n, m]")
    assert [str(d) for d in out.shape] == ["n", "m//4", "4"]
    (guard,) = trace.guards
    assert guard.condition.at({"n": 3, "m": 8})
    assert not guard.condition.at({"n": 3, "m": 9})
    found = run(trace, np.arange(24, dtype="f4").reshape(3, 8))[0]
    np.testing.assert_array_equal(found, np.arange(24).reshape(3, 2, 4))
    for wrong in (lambda x, y: x + y, lambda x, y: y + y[: y.shape[0] // 2]):
        with pytest.raises(OperatorError, match="IX112"):
            traced(wrong, "float32[n//2]", "float32[m]")


def test_a_traced_tensor_may_not_outlive_its_trace():
    kept = []
    traced(lambda x: kept.append(x) or x, "float32[n]")
    with pytest.raises(TraceError, match="IX204"):
        kept[0] + 1
    with pytest.raises(TraceError, match="IX204"):
        traced(lambda x: x + kept[0], "float32[n]")
    with pytest.raises(TraceError, match="IX204"):
        ops.ConstantOfShape(kept[0].shape)


def test_gradients_are_traced_under_symbolic_sizes():
    w = Parameter(np.linspace(-1, 1, 6).reshape(3, 2), "float32")

    def model(x, g):
        first = grad(lambda z: (ops.Tanh(z @ w) ** 2).mean())(x)
        value, pull = vjp(lambda z: (z * z.sum(0)).softmax(), x)
        (second,) = pull(g)
        hessian_like = grad(lambda z: (grad(lambda u: (u * u * u).sum())(z) * z).sum())(x)
        return first, value, second, hessian_like

    agrees(model, ["float32[n, 3]", "float32[n, 3]"], [{"n": 1}, {"n": 5}])


def test_a_variable_is_one_initializer_and_its_updates_are_seen():
    w = Parameter([1.0, 2.0], name="w")
    count = Buffer(0, "int64", name="count")

    def model(x):
        first = x * w
        count.assign(count + 1)
        w.assign(w * 2)
        return first + w, count

    trace, _ = traced(model, "float32[n, 2]")
    assert set(trace.graph.initializers) >= {"w", "count"}
    assert [v.name for v in trace.variables.values()] == ["w", "count"]
    found = run(trace, np.ones((1, 2), "f4"))
    np.testing.assert_array_equal(found[0], [[3.0, 6.0]])
    assert found[1] == 1
    np.testing.assert_array_equal(w.numpy(), [1.0, 2.0])
    assert int(count) == 0


@pytest.mark.parametrize("opset", [17, 18, 20, 21, 22, 23])
def test_every_opset_is_written_as_asked(opset):
    def model(x):
        parts = ops.Split(x, axis=1, num_outputs=2)
        y = ops.Gelu(x) + ops.Mish(x) + ops.Gelu(x, approximate="tanh")
        return (
            ops.ReduceMean(x, [1], keepdims=0),
            ops.ReduceMax(x, [0]),
            x.var(1),
            y,
            parts[0] * parts[1],
            ops.LayerNormalization(x, np.ones(4, "f4"), np.zeros(4, "f4")),
            ops.RMSNormalization(x, np.ones(4, "f4")),
        )

    agrees(model, ["float32[n, 4]"], [{"n": 1}, {"n": 5}], opset=opset, rtol=1e-4, atol=1e-5)


def test_what_an_opset_lacks_is_refused_with_the_opset_that_has_it():
    with pytest.raises(TraceError) as caught:
        traced(lambda x: ops.BitwiseXor(x, x), "int32[n]", opset=17)
    assert caught.value.code == "IX206"
    assert "opset 18" in caught.value.expected
    with pytest.raises(OperatorError) as refused:
        traced(lambda x: ops.Conv(x, x), "bfloat16[1, 1, 3, 3]", opset=21)
    assert "bfloat16" in str(refused.value)


def test_constants_of_sizes_are_folded_and_shared():
    trace, _ = traced(lambda x: x.reshape(ops.Shape(x)[0] * 2, -1) + 1.0 + 1.0, "float32[4, 6]")
    assert [n.op_type for n in trace.graph.nodes] == ["Reshape", "Add", "Add"]
    assert len(trace.graph.initializers) == 2


def test_eager_values_need_no_trace():
    trace, _ = traced(lambda x: x + Tensor([1.0, 2.0]).sum(), "float32[n]")
    assert [n.op_type for n in trace.graph.nodes] == ["Add"]


def test_an_empty_batch_is_admitted_when_it_is_said():
    from interchange.dims import parse_spec

    with Trace(21) as trace:
        n = Dim("n", min=0)
        x = trace.input("x", np.dtype("f4"), (n, 3))
        y = ops.Concat(x * 2, x.sum(1, keepdims=True), axis=1).reshape(n, 2, 2)
        assert n >= 0
        with pytest.raises(TraceError, match="IX202"):
            assert n >= 1
    trace.graph.outputs = [y._symbolic.value]
    for size in (0, 1, 5):
        assert run(trace, np.ones((size, 3), "f4"))[0].shape == (size, 2, 2)
    assert str(parse_spec("float32[n, 2*n + 1]")) == "float32[n, 2*n + 1]"
