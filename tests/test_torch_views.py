"""Lowerings of views, slices, joins and diagonals: tests/torch_same.py says what each case asserts."""

import pytest
from torch_same import exported, same, torch

from interchange.errors import ConvertError

NAN, INF = float("nan"), float("inf")
X = torch.arange(24.0).reshape(4, 2, 3) - 7
SPECIAL = torch.tensor([[NAN, -0.0, 0.0, INF, -INF], [1.5, -2.5, 3e38, -1e-40, 7]])
B, BT = [{0: "batch"}], [{0: "batch", 1: "time"}]


def written(x):
    """Slices of a copy are overwritten, as a cache is."""
    y = x.clone()
    y[:, 0] = 1
    y[-1:] = x[:1] * 2
    y[:, 1:3] += 1
    y[:, ::2].fill_(0)
    return y


# name -> function, inputs, dynamic axes, further inputs
CASES = {
    "view": (lambda x: (x.view(-1, 6), x.reshape(x.shape[0] * 2, 3), x.flatten(), x.ravel()), (X,), B),
    "flatten": (lambda x: (x.flatten(1), x.flatten(0, 1), x.view_as(x), x.unflatten(2, (1, 3))), (X,), BT),
    "view of nothing": (lambda x: (x.view(0, 6), x.flatten(1)), (torch.zeros(0, 3, 2),), None),
    "squeeze": (
        lambda x: (
            x.unsqueeze(-1),
            x[:, None].squeeze(1),
            x[:, :, None].squeeze(-1),
            x[None, :, None].squeeze((0, 2)),
            x[:1, None].squeeze(),
        ),
        (torch.randn(4, 3),),
        B,
    ),
    "order": (
        lambda x: (
            x.permute(2, 0, -2),
            x.transpose(-1, 0),
            x.mT,
            x.movedim((0, 1), (-1, 0)),
            x.swapaxes(0, 1),
            x[0].t(),
        ),
        (X,),
        BT,
    ),
    "order of a number": (
        lambda x: (x.t(), x[None, None].t(), x.permute(()), x.transpose(0, -1)),
        (torch.tensor(3.0),),
        None,
    ),
    "expand": (
        lambda x: (x[:, None].expand(-1, 4, -1), x.expand(2, *x.shape), torch.broadcast_to(x[:1], x.shape)),
        (SPECIAL,),
        BT,
    ),
    "broadcast": (lambda x, y: torch.broadcast_tensors(x, y[:, None]), (X[0], torch.ones(2)), None),
    "expand bools": (lambda x: (x > 0)[:, None].expand(-1, 2, -1), (SPECIAL,), BT),
    "repeat": (lambda x: (x.repeat(2, 1, 3), x[:1].repeat(4, 1), x.tile(2), x.repeat(0, 1)), (SPECIAL,), BT),
    "repeat ints": (lambda x: (x.repeat_interleave(3, 1), x.repeat_interleave(2)), (torch.arange(6).view(2, 3),), BT),
    "cast": (
        lambda x: (x.to(torch.float64), x.half(), x.bool(), (x * 100).int(), x.long().type_as(x), (x > 1).float()),
        (torch.tensor([1.9, -1.9, -0.0, 0.49, 2.5]),),
        B,
    ),
    "cast wraps": (
        lambda x: (x.to(torch.int8), x.to(torch.uint8), x.to(torch.int32), x.to(torch.int16).view(torch.uint16)),
        (torch.tensor([300, -1, 2**31, -129]),),
        B,
    ),
    "cast special": (lambda x: (x.bool(), x.double(), x.half()), (SPECIAL,), BT),
    # -- parts
    "slice": (
        lambda x: (x[:, 1:], x[:, :-1], x[:, -2:], x[:, ::2], x[-9:9], x[:, 3:1], x[: x.shape[0] - 1], x[5:]),
        (SPECIAL,),
        BT,
    ),
    "select": (lambda x: (x[-1], x[:, 0], x[:, -1], x[0, 0], x.select(1, x.shape[1] - 1)), (SPECIAL,), BT),
    "narrow": (lambda x: (x.narrow(1, 1, 2), x.narrow(1, -2, 1), x.narrow(0, 0, x.shape[0])), (SPECIAL,), B),
    "split": (lambda x: (*x.split(2, 1), *x.split([1, 0, 4], -1), *x.tensor_split(3, 1)), (SPECIAL,), B),
    "split at": (
        lambda x: (*x.tensor_split((3, 1, 9), 1), *x.hsplit([2]), *x[0].hsplit([1, 3]), *x[:, None].dsplit([1])),
        (SPECIAL,),
        B,
    ),
    "split symbolic": (lambda x: (*x.chunk(2), *x.split([1, x.shape[0] - 1])), (torch.randn(4, 3),), None),
    "chunk": (lambda x: (*x.chunk(2, -1), *x.chunk(9, 2)), (torch.randn(2, 3, 8),), BT),
    "unbind": (lambda x: (*x.unbind(1), *x.transpose(0, 1).unbind()), (SPECIAL,), B),
    "flip": (
        lambda x: (x.flip(0, 1), x.flip(-1), x.fliplr(), x.flipud(), x.rot90(), x.rot90(-1, (1, 0))),
        (SPECIAL,),
        BT,
    ),
    "roll": (
        lambda x: (x.roll(1, 1), x.roll((-2, 1), (0, 1)), x.roll(3), x.roll(-13, 0), x.roll(0, 1)),
        (torch.randn(3, 5),),
        BT,
        [(torch.randn(1, 1),), (torch.randn(7, 2),)],
    ),
    "windows": (lambda x: (x.unfold(1, 3, 2), x.unfold(-1, 1, 1)), (torch.randn(3, 7),), BT, [(torch.randn(1, 3),)]),
    # -- joins
    "cat": (
        lambda x, y: (torch.cat([x, y, x], 1), torch.cat([x, x], -1), torch.cat([torch.zeros(0), x]), torch.cat([y])),
        (X[0], X[1][:, :1]),
        None,
    ),
    "cat promotes": (lambda x, y: (torch.cat([x, y > 0]), torch.cat([y, x > 0])), (torch.arange(3), SPECIAL[0]), None),
    "stack": (
        lambda x: (torch.stack([x, x + 1], 1), torch.stack([x, x], -1), torch.hstack([x, x]), torch.vstack([x[0], x])),
        (SPECIAL,),
        BT,
    ),
    "stack vectors": (
        lambda x: (torch.hstack([x, x]), torch.dstack([x, x]), torch.column_stack([x, x]), torch.hstack([x[0], x[1]])),
        (torch.randn(4),),
        B,
    ),
    "blocks": (lambda x: torch.block_diag(x, x[0], torch.ones(1, 2, dtype=torch.int64)), (X[0],), None),
    "grid": (
        lambda x, y: (
            *torch.meshgrid(x, y, indexing="ij"),
            *torch.meshgrid(x, y, indexing="xy"),
            torch.cartesian_prod(x, y),
        ),
        (torch.arange(3.0), torch.arange(2.0)),
        None,
    ),
    "at least": (lambda x: (*torch.atleast_3d(x, x[0]), torch.atleast_2d(x[0]), torch.atleast_1d(x)), (SPECIAL,), B),
    # -- parts replaced
    "slice_scatter": (
        lambda x, y: (
            x.slice_scatter(y, 1, 1, 3),
            x.slice_scatter(y, 1, -2),
            x.slice_scatter(y, 1, 0, 4, 2),
            x.select_scatter(y[:, 0], 1, -1),
            x.select_scatter(x[0] * 2, 0, 0),
        ),
        (torch.randn(3, 5), torch.tensor([[NAN, INF], [-0.0, 1.0], [2.0, 3.0]])),
        None,
    ),
    "slices written": (written, (torch.randn(4, 5),), BT),
    # -- diagonals
    "diagonal": (
        lambda x: (x.diagonal(), x.diagonal(1, 0, 2), x.diagonal(-1, -1, 0), x.diagonal(9), x[0].diag(1)),
        (X,),
        B,
    ),
    "diag_embed": (
        lambda x: (x.diag_embed(), x.diag_embed(1), x.diag_embed(-2, 0, 1), x[0].diag(), x.diagflat(-1)),
        (SPECIAL,),
        BT,
    ),
    "diagonal_scatter": (
        lambda x, y: (x.diagonal_scatter(y, 1), x.diagonal_scatter(y, -1), (x > 0).diagonal_scatter(y > 0, 1)),
        (torch.randn(4, 4), torch.tensor([NAN, -0.0, INF])),
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_view(name):
    function, inputs, dynamic, *more = CASES[name]
    same(function, *inputs, dynamic=dynamic, more=more[0] if more else ())


def test_what_stays_is_no_node():
    """Views that change nothing are not in the graph, and sizes that stay are not computed."""
    model = exported(
        lambda x: (
            x.reshape(x.shape).expand_as(x)[:, : x.shape[1]].permute(0, 1).contiguous()[:, None].expand(-1, 3, -1)
        ),
        torch.randn(2, 5),
        dynamic=BT,
    )
    assert [n.op_type for n in nodes(model)] == ["Unsqueeze", "Expand"]


def nodes(model):
    """The nodes of the file of a loaded model."""
    import onnx

    return onnx.load_from_string(model.source).graph.node


def test_bits_of_another_dtype_are_refused():
    with pytest.raises(ConvertError, match="IX921") as caught:
        exported(lambda x: x.view(torch.int32), torch.randn(3))
    assert "the bits of a tensor" in str(caught.value)


def test_memory_layout_is_refused():
    with pytest.raises(ConvertError, match=r"aten\.as_strided"):
        exported(lambda x: x.as_strided((2, 2), (1, 2)), torch.randn(4))
