"""Guards on sizes: kept where the model's code needs them, told plainly, gone where they make no difference."""

import pytest
from torch_same import exported, same, torch

from interchange.runtime.errors import InputsError

X = torch.randn(4, 3)
BATCH = [{0: "batch"}]


def conditions(loaded):
    return [str(g.condition) for g in loaded.guards]


def test_a_comparison_with_one_that_makes_no_difference_goes():
    loaded = same(lambda x: x * 2 if x.shape[0] > 1 else x + x, X, dynamic=BATCH, more=[(X[:1],)])
    assert conditions(loaded) == []


def test_a_comparison_with_one_that_decides_the_result_stays():
    loaded = exported(lambda x: x * 2 if x.shape[0] > 1 else x * 3, X, dynamic=BATCH)
    assert conditions(loaded) == ["batch >= 2"]
    with pytest.raises(InputsError, match="IX607"):
        loaded.run(args_0=X[:1].numpy())


def test_it_stays_where_the_model_fails_at_one():
    def model(x):
        if x.shape[0] > 1:
            return x * 2
        raise ValueError("one is not enough")

    assert conditions(exported(model, X, dynamic=BATCH)) == ["batch >= 2"]


def test_two_sizes_are_tried_together_too():
    """Each may be 1 without harm, but not both."""

    def model(x):
        scale = 2 if x.shape[0] > 1 or x.shape[1] > 1 else 3
        return x * (scale if x.shape[1] > 1 else 2 if x.shape[0] > 1 else 3)

    loaded = exported(model, X, dynamic=[{0: "batch", 1: "time"}])
    assert loaded.guards
    with pytest.raises(InputsError, match="IX607"):
        loaded.run(args_0=X[:1, :1].numpy())


def test_a_model_that_keeps_state_is_not_run_for_it():
    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return x * 2 if x.shape[0] > 1 else x + x

    model = Counting()
    assert conditions(exported(model, X, dynamic=BATCH)) == ["batch >= 2"]
    assert model.calls == 0


def test_a_slice_of_a_table_is_told_as_a_bound():
    table = torch.randn(6, 3)
    loaded = same(lambda x: x + table[: x.shape[0]], X, dynamic=BATCH, more=[(torch.randn(6, 3),), (X[:1],)])
    assert conditions(loaded) == ["batch <= 6"]


def test_new_results_of_one_operator_share_no_memory():
    """Writing into the values of topk leaves its indices as they are: nothing has to be rewritten."""

    def model(x):
        values, indices = x.topk(2)
        values /= values.sum(-1, keepdim=True)
        return values, indices

    same(model, X, dynamic=BATCH)


def test_views_of_one_tensor_share_its_memory():
    def model(x):
        left, right = (x + 0).split(2, 1)
        left *= 2
        return left, right, left + 1

    def both(x):
        y = x + 0
        left, again = y.split(2, 1)[0], y[:, :2]
        left *= 2
        return again + 1

    same(model, torch.randn(4, 4), dynamic=BATCH)
    same(both, torch.randn(4, 4), dynamic=BATCH)
