"""E.compile: a step as one graph gives what the step gives eagerly, and leaves the variables as it would."""

from __future__ import annotations

import numpy as np
import pytest

from interchange import ops
from interchange.eager import Parameter, Tensor, nn, no_grad, optim
from interchange.eager.compiling import compile
from interchange.errors import TraceError

RNG = np.random.default_rng(0)
X = Tensor(RNG.standard_normal((16, 5)).astype("f4"))
T = Tensor(RNG.integers(0, 3, 16))


def make_step():
    rng = np.random.default_rng(1)
    w = Parameter(rng.standard_normal((5, 3)), "float32", name="w")
    b = Parameter(np.zeros(3), "float32", name="b")

    def step(x, t, rate):
        loss = ops.SoftmaxCrossEntropyLoss(ops.Gemm(x, w, b), t)
        loss.backward()
        with no_grad():
            for p in (w, b):
                p.assign(p - p.grad * rate)
                p.grad = None
        return {"loss": loss}

    return step, w, b


def test_training_equals_eager_training():
    eager, w1, b1 = make_step()
    step, w2, b2 = make_step()
    fast = compile(step)
    for k in range(10):
        rate = 0.5 / (k + 1)
        np.testing.assert_allclose(fast(X, T, rate)["loss"].numpy(), eager(X, T, rate)["loss"].numpy(), rtol=1e-5)
    np.testing.assert_allclose(w2.numpy(), w1.numpy(), rtol=1e-5)
    np.testing.assert_allclose(b2.numpy(), b1.numpy(), rtol=1e-4, atol=1e-6)
    assert fast.compilations == 1, "a float is an input: another learning rate does not trace again"


def test_another_shape_or_constant_compiles_again():
    @compile
    def f(x, power):
        return x**power

    assert float(f(Tensor(3.0), 2)) == 9
    assert float(f(Tensor(3.0), 3)) == 27
    assert f(Tensor([1.0, 2.0]), 2).tolist() == [1, 4]
    assert f.compilations == 3
    assert f(Tensor([3.0, 2.0]), 2).tolist() == [9, 4]
    assert f.compilations == 3


def test_gradients_of_variables_that_are_not_assigned_accumulate_as_usual():
    w = Parameter([2.0, 3.0])

    @compile
    def f(x):
        loss = (w * x).sum()
        loss.backward()
        return loss

    x = Tensor([5.0, 7.0])
    f(x)
    assert w.grad.tolist() == [5, 7]
    f(x)
    assert w.grad.tolist() == [10, 14]


def test_gradients_from_before_are_neither_constants_nor_lost():
    w = Parameter([2.0, 3.0])
    optimiser = optim.SGD([w], lr=1.0)
    x = Tensor([5.0, 7.0])

    def backward(x):
        (w * x).sum().backward()
        return x * 1

    backward(x)
    accumulate = compile(backward)
    accumulate(x)
    accumulate(x)
    assert w.grad.tolist() == [15, 21]

    def update():
        optimiser.step()

    with pytest.raises(TraceError, match="IX211"):
        compile(update)()
    assert w.grad.tolist() == [15, 21]
    w.grad = None

    @compile
    def step(x):
        backward(x)
        optimiser.step()
        return x * 1

    step(x)
    assert w.tolist() == [-3, -4]
    backward(x)
    with pytest.raises(TraceError, match="IX211"):
        step(x)


def test_gradients_of_arguments_go_to_the_argument_of_the_call():
    @compile
    def f(x):
        loss = (x * x).sum()
        loss.backward()
        return loss

    a, b = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0, 4.0], requires_grad=True)
    f(a)
    f(b)
    f(b)
    assert (a.grad.tolist(), b.grad.tolist()) == ([2, 4], [12, 16])
    with pytest.raises(TraceError, match="IX211"):
        f(a * 2)


def test_a_failed_trace_leaves_nothing_behind():
    w = Parameter([2.0])

    @compile
    def f(x):
        (w * x).sum().backward()
        return float(x.sum())

    with pytest.raises(TraceError, match="IX203"):
        f(Tensor([1.0]))
    assert w.grad is None


def test_a_frozen_parameter_stays():
    w = Parameter([2.0])
    optimiser = optim.SGD([w], lr=1.0)

    @compile
    def step(x):
        optimiser.zero_grad()
        loss = (w * x).sum() + x.sum()
        if loss.requires_grad:
            loss.backward()
        optimiser.step()
        return loss

    step(Tensor([1.0]))
    w.requires_grad = False
    step(Tensor([1.0]))
    assert w.tolist() == [1]


def test_a_replaced_part_and_a_new_hook_are_seen():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    f = compile(lambda x: net(x))
    x = Tensor([[1.0, 2.0]])
    f(x)
    nn.Linear(3, 3)  # another module: nothing changed
    f(x)
    assert f.compilations == 1
    net[1] = nn.Linear(2, 1)
    np.testing.assert_allclose(f(x).numpy(), net(x).numpy(), rtol=1e-6)
    handle = net[0].register_forward_hook(lambda module, args, output: output * 3)
    np.testing.assert_allclose(f(x).numpy(), net(x).numpy(), rtol=1e-6)
    handle.remove()
    np.testing.assert_allclose(f(x).numpy(), net(x).numpy(), rtol=1e-6)
    assert f.compilations == 3


def test_an_argument_that_cannot_be_recognised_is_refused():
    with pytest.raises(TraceError, match="IX212"):
        compile(lambda x, tags: x)(Tensor([1.0]), {"a"})


def test_a_choice_by_value_is_refused():
    @compile
    def f(x):
        return x if x.sum() > 0 else -x

    with pytest.raises(TraceError, match="IX203"):
        f(Tensor([1.0]))


def test_results_may_be_inputs_constants_or_repeated():
    @compile
    def f(x):
        y = x + 1
        return x, y, y, Tensor([4.0]), 3, None

    x, a, b, c, three, none = f(Tensor([1.0]))
    assert (x.tolist(), a.tolist(), b.tolist(), c.tolist(), int(three), none) == ([1], [2], [2], [4], 3, None)


def test_modes_and_random_state_are_part_of_the_step():
    from interchange.eager import nn, optim
    from interchange.eager.random import manual_seed

    def build():
        manual_seed(3)
        net = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
        optimiser = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

        def step(x, t):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(net(x), t)
            loss.backward()
            optimiser.step()
            return loss

        return net, step

    net, step = build()
    expected = [float(step(X, T)) for _ in range(5)]
    again, step = build()
    fast = compile(step)
    np.testing.assert_allclose([float(fast(X, T)) for _ in range(5)], expected, rtol=1e-4)
    for (name, a), (_, b) in zip(net.state_dict().items(), again.state_dict().items(), strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-3, atol=1e-5, err_msg=name)
    assert fast.compilations == 1

    score = compile(lambda x: again(x))
    again.train()
    trained = score(X).numpy()
    again.eval()
    assert not np.allclose(score(X).numpy(), trained), "eval mode is another graph"
    np.testing.assert_allclose(score(X).numpy(), again(X).numpy(), rtol=1e-4, atol=1e-5)
    assert score.compilations == 2
