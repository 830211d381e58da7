"""Lowerings of reading and writing at positions that are data: tests/torch_same.py says what each case asserts."""

import pytest
from torch_same import exported, same, torch

from interchange.dims import Dim
from interchange.errors import ConvertError

NAN, INF = float("nan"), float("inf")
X = torch.randn(3, 5)
SPECIAL = torch.tensor([[NAN, -0.0, 0.0, INF, -INF], [1.5, -2.5, 3.0, NAN, 7], [0, 1, 2, 3, 4.0]])
CUBE = torch.arange(60.0).view(3, 4, 5)
AT = torch.tensor([2, 0, -1])
B = [{0: "batch"}]


def put(x, index, value):
    """x with x[index] replaced, as Python writes it."""
    y = x.clone()
    y[index] = value
    return y


# name -> function, inputs, dynamic axes, further inputs
READ = {
    "rows": (
        lambda x, i: (x[i], x[:, i], x[i, i], x[..., i]),
        (CUBE, AT),
        [{}, {0: Dim("n", min=0)}],
        [(CUBE, AT[:0])],
    ),
    "matrix": (lambda x, i: (x[i], x[0, i], x[:, i, 1:]), (CUBE, torch.tensor([[0, 1], [-1, 2]])), None),
    "apart": (
        lambda x, i: (x[i, :, i], x[:, None, i, :, None], x[:, i, None, i], x[None, i, :, 1]),
        (CUBE, AT),
        [{}, {0: "n"}],
    ),
    "broadcast": (lambda x, i: (x[i[:, None], i], x[i[:, None], :, i], x[0, i[:, None], AT]), (CUBE, AT), None),
    "a number": (
        lambda x, i: (x[i], x[:, i], x[i, i], x[i, 1]),
        (CUBE, torch.tensor(-1)),
        None,
        [(CUBE, torch.tensor(2))],
    ),
    "batched": (lambda x, i: x[torch.arange(x.shape[0]), i], (X, AT), [{0: "b"}, {0: "b"}]),
    "int32": (lambda x, i: (x[i.int()], x.index_select(1, i.abs().int())), (X, AT), None),
    "mask": (
        lambda x, m: (x[m], x.masked_select(m), x[m].sum()),
        (X, X > 0),
        None,
        [(X, X > 99), (SPECIAL, torch.ones(3, 5).bool())],
    ),
    "mask of rows": (
        lambda x, m: (x[m], x[:, m.any()[None].expand(4)], x[m, 1]),
        (CUBE, torch.tensor([True, False, True])),
        None,
        [(CUBE, torch.tensor([False, False, True]))],
    ),
    "nonzero": (
        lambda x: (x.nonzero(), *torch.where(x > 1), (x > 1).int().argwhere(), *x.nonzero(as_tuple=True)),
        (SPECIAL,),
        B,
        [(torch.zeros(2, 5),)],
    ),
    "nonzero of a number": (lambda x: x.nonzero(), (torch.tensor(3.0),), None, [(torch.tensor(0.0),)]),
    "nonzero_static": (
        lambda x: torch.nonzero_static(x, size=4, fill_value=-2),
        (SPECIAL > 1,),
        None,
        [(SPECIAL < 0,)],
    ),
    "select": (lambda x, i: (x.index_select(0, i), x.index_select(-1, i[:1])), (X, AT.abs()), [{}, {0: "n"}]),
    "gather": (
        lambda x, i: (x.gather(1, i), x.gather(0, i[:2] % 3), x[0].gather(0, i[0])),
        (SPECIAL, torch.tensor([[0, 4], [2, 3], [4, 0]])),
        None,
    ),
    "gather of a number": (
        lambda x, i: (x.gather(0, i), x[None].gather(0, i[None])),
        (torch.tensor(2.0), torch.tensor(0)),
        None,
    ),
    "gather dynamic": (lambda x, i: x.gather(1, i), (X, torch.tensor([[0, 4], [2, 3], [4, 0]])), [{0: "b"}, {0: "b"}]),
    "take": (lambda x, i: (x.take(i), x.take_along_dim(i[None] % 5, 1), x.take_along_dim(i % 15)), (X, AT), None),
    "repeat by numbers": (
        lambda x, n: (x.repeat_interleave(n, 0), n.repeat_interleave(n), torch.repeat_interleave(n) * 2),
        (X, torch.tensor([2, 0, 3])),
        [{0: "b"}, {0: "b"}],
        [(X, torch.tensor([0, 0, 0])), (X[:1], torch.tensor([1]))],
    ),
    "one_hot": (lambda x: torch.nn.functional.one_hot(x, 4), (torch.tensor([[0, 3], [1, 1]]),), B),
}
NEW = torch.tensor([[NAN, -0.0, INF, 1, 2], [3, 4, 5, 6, 7], [8, 9, NAN, 1, 1]])
WRITTEN = {
    "mask": (
        lambda x, m: (x.masked_fill(m, -INF), put(x, m, 0), x.masked_fill(m[:1], x[0, 0]), m.masked_fill(m, False)),
        (SPECIAL, SPECIAL > 0),
        [{0: "b"}, {0: "b"}],
    ),
    "mask of ints": (
        lambda x, m: (x.masked_fill(m, 7), x.to(torch.int8).masked_fill(m, -1), x.int().masked_fill(~m, 2)),
        (torch.arange(5), torch.tensor([True, False, True, True, False])),
        [{0: "b"}, {0: "b"}],
    ),
    "mask of rows": (
        lambda x, m: (put(x, m, 0), put(x, (slice(None), m[:1].expand(4)), 1), put(x, m, x[:1])),
        (CUBE, torch.tensor([True, False, True])),
        None,
    ),
    "mask with values": (
        lambda x, m, v: (x.masked_scatter(m, v), x.masked_scatter(m[:1], v)),
        (SPECIAL, X > 0, NEW),
        None,
    ),
    "rows": (
        lambda x, i, v: (put(x, i, v), put(x, (slice(None), i), v[:, :3]), put(x, (i, i), 1.0), put(x, i[:1], v[0])),
        (SPECIAL, torch.tensor([2, 0, 1]), NEW),
        None,
    ),
    "apart": (
        lambda x, i: (put(x, (i, slice(None), i), 0), put(x, (slice(None), i, i), x[:, :3, 0]), put(x, (0, i), -1)),
        (CUBE, AT),
        None,
    ),
    "added": (
        lambda x, i: (
            x.index_put((i,), x[0], accumulate=True),
            x.index_put((i, i), x[0, :3], accumulate=True),
            (x > 0).index_put((i,), x[:1] > 0, accumulate=True),
        ),
        (X, torch.tensor([2, 2, 0])),
        None,
    ),
    "entries": (
        lambda x, i, v: (
            x.index_copy(0, i, v),
            x.index_copy(1, i, v[:, :3]),
            x.index_fill(1, i, 2),
            x.index_fill(0, i[:2], v[1, 0]),
        ),
        (SPECIAL, torch.tensor([2, 0, 1]), NEW),
        None,
    ),
    "entries added": (
        lambda x, i, v: (x.index_add(0, i, v, alpha=2), x.index_add(-1, i, v[:, :3]), (x > 0).index_add(0, i, v > 0)),
        (SPECIAL, torch.tensor([2, 2, 0]), NEW),
        None,
    ),
    "whole numbers added": (
        lambda x, i: (
            x.index_add(0, i, x, alpha=3),
            x.to(torch.int8).index_add(0, i, x.to(torch.int8)),
            x.put(i, x, True),
        ),
        (torch.tensor([100, -7, 3]), torch.tensor([2, 2, 0])),
        None,
    ),
    "scatter": (
        lambda x, i, v: (
            x.scatter(1, i, v),
            x.scatter(0, i % 3, 9),
            x.scatter(1, i, 2, reduce="multiply"),
            x.scatter(1, i[:2], v, reduce="add"),
            x.scatter_add(1, i, v),
            x[0].scatter(0, i[0], v[0]),
        ),
        (X, torch.tensor([[0, 4], [2, 3], [4, 0]]), NEW),
        None,
    ),
    "scatter dynamic": (
        lambda x, i: (x.scatter(1, i, 1.0), x.scatter_add(1, i, x)),
        (X, torch.tensor([[0, 4], [2, 3], [4, 0]])),
        [{0: "b"}, {0: "b"}],
    ),
    "put": (
        lambda x, i: (x.put(i, x[0, :3]), x.put(i, x[0, :3], accumulate=True)),
        (X, torch.tensor([7, 0, -1])),
        None,
    ),
    "copy": (
        lambda x, y: (torch.zeros_like(x).copy_(y[:1]), x.int().copy_(y), x[0].clone().copy_(y[0, 0])),
        (X, torch.randn(3, 5).double()),
        None,
    ),
}


@pytest.mark.parametrize("name", READ)
def test_read(name):
    function, inputs, dynamic, *more = READ[name]
    same(function, *inputs, dynamic=dynamic, more=more[0] if more else ())


@pytest.mark.parametrize("name", WRITTEN)
def test_written(name):
    function, inputs, dynamic = WRITTEN[name]
    same(function, *inputs, dynamic=dynamic)


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
def test_combined(reduce, include_self):
    """NaN goes through, as ONNX Runtime's max and min do not; sums of int8 wrap, means of integers are rounded down."""
    places = torch.tensor([[0, 0, 1, 1, 1], [3, 3, 3, 0, 0], [2, 4, 4, 2, 0]])
    numbers = torch.tensor([[-7, 3, 102, 112, 95], [1, 2, 4, 9, 3], [0, -1, -2, 5, 6]])

    def function(x, i, v):
        found = [x.scatter_reduce(d, i % x.shape[d], v, reduce, include_self=include_self) for d in (0, 1)]
        if reduce != "sum":
            rows = torch.tensor([2, 2, 0])
            found += [x.index_reduce(0, rows, v, reduce, include_self=include_self)]
            found += [x.index_reduce(1, rows, v[:, :3], reduce, include_self=include_self)]
        return found

    same(function, SPECIAL, places, NEW, more=[(NEW, places, SPECIAL)])
    for dtype in (torch.int64, torch.int8):
        same(function, numbers.to(dtype), places, numbers.flip(1).to(dtype))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag(mode):
    table = torch.randn(6, 3)
    bags = torch.nn.EmbeddingBag.from_pretrained(table, mode=mode, padding_idx=2)
    same(bags, torch.tensor([[1, 2], [3, 3], [2, 2]]), dynamic=[{0: "batch", 1: "length"}])
    bags = torch.nn.EmbeddingBag.from_pretrained(table, mode=mode, include_last_offset=True)
    same(bags, torch.tensor([1, 2, 2, 4]), torch.tensor([0, 0, 3, 4]))


def test_embedding():
    table = torch.randn(6, 3)
    plain = torch.nn.Embedding.from_pretrained(table, padding_idx=1)
    limited = torch.nn.Embedding.from_pretrained(table, max_norm=0.5)
    numbers = torch.tensor([[1, 2], [5, 0]])
    same(plain, numbers, dynamic=[{0: "batch", 1: "length"}])
    same(limited, numbers)


def test_a_number_of_classes_that_is_data_is_refused():
    with pytest.raises(ConvertError, match="IX922"):
        exported(lambda x: torch.nn.functional.one_hot(x), torch.tensor([0, 2]))


def test_one_row_is_read_and_written_without_a_detour():
    """Rows of a table are one Gather, and rows written one ScatterND: no transposed copies, no expanded positions."""
    import onnx

    model = exported(lambda x, i, v: (x[i], x.index_copy(0, i, v)), X, torch.tensor([1, 0]), X[:2])
    nodes = [n.op_type for n in onnx.load_from_string(model.source).graph.node]
    assert sorted(nodes) == ["Gather", "ScatterND", "Unsqueeze"]
