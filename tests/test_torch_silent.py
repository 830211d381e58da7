"""What other exporters of PyTorch models get wrong without a word: here each is right, or refused with the reason."""

import numpy as np
import pytest
from torch_same import same, torch

import interchange as ix
from interchange.errors import ConvertError, InterchangeError, SchemaError

F = torch.nn.functional


def test_batch_norm_in_train_mode_normalises_by_the_batch_and_returns_its_statistics():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).train()
    loaded = ix.export(model, {"input": torch.randn(6, 3)}, dynamic={"input": {0: "batch"}})
    state = {f"1.{n}": f"1.{n}.next" for n in ("running_mean", "running_var", "num_batches_tracked")}
    assert {n: loaded.state[n] for n in state} == state
    x = torch.randn(9, 3) * 3 + 1
    found = loaded.run(input=x.numpy())
    wanted = model(x).detach().numpy()  # which also moves the module's statistics
    np.testing.assert_allclose(found["output"], wanted, rtol=1e-4, atol=1e-5)
    for name, output in state.items():
        np.testing.assert_allclose(found[output], model.state_dict()[name].numpy(), rtol=1e-5)
    second = loaded.run({"input": x.numpy()} | {n: found[o] for n, o in state.items()})
    assert second["1.num_batches_tracked.next"] == 2
    assert torch.equal(model[1].num_batches_tracked, torch.tensor(1))  # the export itself counted no batch


def test_batch_norm_in_train_mode_needs_more_than_one_row():
    model = torch.nn.BatchNorm1d(4).train()
    loaded = ix.export(model, {"input": torch.randn(6, 4)}, dynamic={"input": {0: "batch"}})
    with pytest.raises(InterchangeError, match="batch") as caught:
        loaded.run(input=np.ones((1, 4), np.float32))
    assert caught.value.code == "IX607"


def test_label_smoothing_counts():
    logits, target = torch.randn(5, 7), torch.randint(0, 7, (5,))
    smoothed = same(
        lambda x, t: F.cross_entropy(x, t, label_smoothing=0.3), logits, target, dynamic=[{0: "n"}, {0: "n"}]
    )
    plain = F.cross_entropy(logits, target).item()
    assert abs(smoothed.run(args_0=logits.numpy(), args_1=target.numpy())["output"] - plain) > 1e-3


class Branches(torch.nn.Module):
    def __init__(self, condition):
        super().__init__()
        self.condition = condition

    def forward(self, x):
        return x * 2 if self.condition(x.shape[0]) else x - 1


@pytest.mark.parametrize(
    ("condition", "example", "inside", "outside"),
    [
        (lambda n: n >= 4, 6, 4, 3),
        (lambda n: n >= 4, 3, 2, 4),
        (lambda n: n % 2 == 0, 6, 2, 3),
        (lambda n: n == 1, 6, 2, 1),
    ],
    ids=["at least", "less", "even", "not one"],
)
def test_a_branch_on_a_size_becomes_a_guard_that_the_runtime_enforces(condition, example, inside, outside):
    model = Branches(condition)
    loaded = ix.export(model, (torch.ones(example, 2),), dynamic={"x": {0: "batch"}})
    (guard,) = loaded.guards
    line = f"test_torch_silent.py:{Branches.forward.__code__.co_firstlineno + 1}"
    assert guard.where == f"{line} in forward"
    x = torch.ones(inside, 2)
    np.testing.assert_array_equal(loaded.run(x=x.numpy())["output"], model(x).numpy())
    with pytest.raises(InterchangeError, match="batch") as caught:
        loaded.run(x=np.ones((outside, 2), np.float32))
    assert caught.value.code == "IX607"
    assert line in str(caught.value)


def test_a_size_that_the_model_fixes_is_not_called_dynamic():
    with pytest.raises(ConvertError) as caught:
        ix.export(lambda x: x + torch.ones(3, 2), (torch.ones(3, 2),), dynamic={"x": {0: "batch"}})
    error = caught.value
    assert error.code == "IX923"
    assert error.found == "batch (axis 0 of x) is always 3"
    assert error.where.startswith("test_torch_silent.py:")


def test_two_names_for_sizes_that_must_be_equal():
    with pytest.raises(ConvertError) as caught:
        ix.export(lambda x, y: x + y, (torch.ones(3), torch.ones(3)), dynamic={"x": {0: "a"}, "y": {0: "b"}})
    assert caught.value.code == "IX923"
    assert "a and b" in caught.value.message


@pytest.mark.parametrize("pool", [F.adaptive_avg_pool2d, F.adaptive_max_pool2d])
def test_adaptive_pooling_of_any_height_and_width(pool):
    pictures = [(torch.randn(1, 2, h, w),) for h, w in ((5, 7), (2, 2), (9, 4))]
    dynamic = [{2: "height", 3: "width"}]
    try:
        same(lambda x: pool(x, (2, 3)), torch.randn(1, 2, 8, 6), dynamic=dynamic, more=pictures)
    except ConvertError as refused:  # never a kernel that is right for the example's size only
        assert refused.code in ("IX921", "IX928")  # noqa: PT017


class Counter(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("cache", torch.zeros(4, 2))

    def forward(self, x):
        self.count += 1
        self.cache[1:] = self.cache[:-1].clone()
        self.cache[0] = x.sum(0)
        return self.cache * self.count


def test_what_a_model_writes_into_its_buffers_comes_out():
    model = Counter()
    loaded = ix.export(model, (torch.ones(3, 2),), dynamic={"x": {0: "n"}})
    assert loaded.state == {"count": "count.next", "cache": "cache.next"}
    state = {}
    for step in range(3):
        x = torch.full((2, 2), float(step + 1))
        found = loaded.run({"x": x.numpy(), **state})
        np.testing.assert_array_equal(found["output"], model(x).numpy())
        state = {"count": found["count.next"], "cache": found["cache.next"]}
    np.testing.assert_array_equal(state["cache"], model.cache.numpy())


def test_what_a_model_writes_into_its_inputs_comes_out():
    def step(x, y):
        x.mul_(2)
        y[0] += 1
        return x + y

    loaded = ix.export(step, (torch.ones(3), torch.ones(3)), dynamic={"x": {0: "n"}, "y": {0: "n"}})
    found = loaded.run(x=np.ones(4, np.float32), y=np.zeros(4, np.float32))
    assert list(found) == ["output", "x.next", "y.next"]
    np.testing.assert_array_equal(found["x.next"], [2, 2, 2, 2])
    np.testing.assert_array_equal(found["y.next"], [1, 0, 0, 0])
    np.testing.assert_array_equal(found["output"], [3, 2, 2, 2])


def test_a_write_into_a_view_reaches_its_base():
    def model(x):
        h = x * 1
        row = h[0]
        row.add_(10)
        h.t()[1].zero_()
        return h, row

    same(model, torch.randn(3, 4), dynamic=[{0: "n"}])


def test_state_in_a_plain_attribute_is_refused():
    class Remembers(torch.nn.Module):
        def forward(self, x):
            self.last = x * 2
            return x

    with pytest.raises(ConvertError) as caught:
        ix.export(Remembers(), (torch.ones(2),))
    assert caught.value.code == "IX924"


def test_zeros_of_either_sign_stay_apart():
    loaded = same(lambda x: (x * 0 + torch.tensor(0.0), torch.copysign(x, torch.tensor(-0.0))), torch.ones(3))
    found = loaded.run(args_0=np.ones(3, np.float32))
    assert not np.signbit(found["output_0"]).any()
    assert np.signbit(found["output_1"]).all()
    one = ix.export(lambda x: (torch.where(x > 0, 0.0, -0.0), x), (torch.ones(2),))
    np.testing.assert_array_equal(np.signbit(one.run(x=np.array([1, -1], np.float32))["output_0"]), [False, True])


def test_atan2_of_signed_zeros():
    y, x = (torch.tensor(v) for v in ([0.0, -0.0, 0.0, -0.0, 1.0], [-1.0, -1.0, 1.0, 1.0, -0.0]))
    found = ix.export(torch.atan2, (y, x)).run(y.numpy(), x.numpy())["output"]
    wanted = torch.atan2(y, x).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))


def test_a_shift_of_bytes_stays_of_bytes():
    x = torch.arange(0, 256, 17, dtype=torch.uint8)
    loaded = same(lambda x: (x >> 1, x << 3), x)
    assert loaded.outputs["output_0"].dtype == np.uint8


@pytest.mark.parametrize(
    "extreme",
    [
        lambda x: x.max(),
        lambda x: x.max(dim=1),
        lambda x: x.amin(dim=0),
        lambda x: x.argmax(dim=1),
        lambda x: torch.maximum(x, x.flip(0)),
        lambda x: F.max_pool2d(x[None, None], 2, padding=1),
        lambda x: x.clamp(-1, 1),
        lambda x: x.cummax(dim=1).values,
    ],
)
def test_nan_is_not_passed_over(extreme):
    x = torch.randn(4, 5)
    spoilt = x.clone()
    spoilt[1, 3] = float("nan")
    spoilt[2, 0] = float("nan")
    same(extreme, x, more=[(spoilt,)])


def test_the_divisor_of_a_mean_over_windows():
    x = torch.randn(1, 2, 7, 9)
    same(lambda x: F.avg_pool2d(x, 3, stride=2, padding=1, divisor_override=4), x, dynamic=[{0: "n"}])
    same(lambda x: F.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False), x)


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce(reduce, include_self):
    index = torch.tensor([[0, 1, 0], [2, 2, 2]])

    def scatter(x, source):
        return x.scatter_reduce(0, index, source, reduce, include_self=include_self)

    same(scatter, torch.randn(3, 3), torch.randn(2, 3))


@pytest.mark.parametrize("opset", [13, 15, 17, 18, 20, 21, 22, 23])
def test_the_opset_asked_for_is_the_one_written(opset):
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4), torch.nn.GELU()).eval()
    try:
        loaded = ix.export(model, {"input": torch.randn(2, 4)}, opset=opset)
    except SchemaError as refused:  # not written at all, with what can be
        assert str(opset) in str(refused)  # noqa: PT017
    else:
        assert loaded.opsets[""] == opset


def test_outputs_keep_their_keys_and_their_order():
    class Heads(torch.nn.Module):
        def forward(self, x):
            return {"b": x + 1, "a": {"deep": [x * 2, x * 3]}, "none": None}

    loaded = ix.export(Heads(), (torch.ones(2),))
    assert list(loaded.outputs) == ["b", "a.deep.0", "a.deep.1"]


def test_a_python_number_is_a_constant_that_the_signature_tells():
    class Scales(torch.nn.Module):
        def forward(self, x, factor: float = 1.0, flag: bool = True):
            return x * factor if flag else x

    loaded = ix.export(Scales(), {"x": torch.ones(2), "factor": 3.0})
    np.testing.assert_array_equal(loaded.run(x=np.ones(2, np.float32))["output"], [3, 3])
    assert '"constant": 3.0' in loaded.metadata["interchange.signature"]


def test_equal_parameters_stay_two_and_tied_ones_one(tmp_path):
    class Norms(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
            self.embed, self.head = torch.nn.Embedding(7, 3), torch.nn.Linear(3, 7, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, i):
            return self.head(self.b(self.a(self.embed(i))))

    model = Norms().eval()
    ix.export(model, (torch.tensor([1, 2]),), tmp_path / "m.onnx")
    import onnx

    held = {i.name: tuple(i.dims) for i in onnx.load(tmp_path / "m.onnx").graph.initializer}
    fields = ("weight", "bias", "running_mean", "running_var")
    assert {f"{m}.{f}" for m in "ab" for f in fields} <= held.keys()
    assert held["embed.weight"] == (7, 3)
    assert "head.weight" not in held


def test_no_path_of_this_machine_is_in_the_file(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU()).eval()
    ix.export(model, (torch.ones(2, 3),), tmp_path / "m.onnx")
    data = (tmp_path / "m.onnx").read_bytes()
    for folder in (str(tmp_path), __file__.rpartition("/")[0], torch.__file__.rpartition("/")[0]):
        assert folder.encode() not in data
