"""Lowerings of layers: products, activations, convolution, normalisation, padding. Pooling: tests/test_torch_images.py.

tests/torch_same.py says what each case asserts. A case: function or module, inputs, dynamic axes of each input, and
further inputs, with other sizes or special values.
"""

import math

import pytest
from torch_same import exported, same, torch

F, nn = torch.nn.functional, torch.nn
torch.manual_seed(0)
randn = torch.randn
BATCH, IMAGE, LINE = [{0: "b"}], [{0: "b", 2: "h", 3: "w"}], [{0: "b", 2: "t"}]
nan, inf = math.nan, math.inf
SPECIAL = torch.tensor([[nan, -0.0, 0.0, -inf, 30.0, -30.0, 0.5, -0.5, 1.0, 3.0, -3.0, 20.5, 6.0]])


def whole(*shape):
    return torch.randint(-9, 10, shape)


ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "mish": F.mish,
    "elu": lambda x: F.elu(x, 0.7),
    "celu": lambda x: F.celu(x, 1.7),
    "selu": F.selu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "rrelu": F.rrelu,
    "hardtanh": lambda x: F.hardtanh(x, -0.4, 2.5),
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "softplus": lambda x: F.softplus(x, 2.0, 5.0),
    "softsign": F.softsign,
    "softshrink": F.softshrink,
    "hardshrink": F.hardshrink,
    "tanhshrink": F.tanhshrink,
    "threshold": lambda x: F.threshold(x, 0.1, 20.0),
    "logsigmoid": F.logsigmoid,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    same(ACTIVATIONS[name], randn(3, 13), dynamic=BATCH, more=[(SPECIAL,)])


PRODUCTS = {
    "linear": (nn.Linear(5, 7), (randn(3, 4, 5),), [{0: "b", 1: "t"}], ()),
    "linear of a matrix": (nn.Linear(5, 7), (randn(3, 5),), BATCH, ()),
    "linear of a vector": (nn.Linear(5, 7, bias=False), (randn(5),), None, ()),
    "matmul of vectors": (lambda a, b: (a @ b, torch.outer(a, b)), (randn(4), randn(4)), None, ()),
    "matmul that broadcasts": (torch.matmul, (randn(3, 1, 4, 5), randn(2, 5, 6)), [{0: "b", 2: "t"}, None], ()),
    "matmul of integers": (torch.matmul, (whole(3, 4).to(torch.int8), whole(4, 2).to(torch.int8)), BATCH, ()),
    "addmm": (
        lambda c, a, b: torch.addmm(c, a, b, beta=0.5, alpha=0.3),
        (randn(6), randn(3, 4), randn(4, 6)),
        [None, {0: "b"}, None],
        (),
    ),
    "addmm without the sum": (
        lambda c, a, b: torch.addmm(c, a, b, beta=0),
        (torch.full((6,), nan), randn(3, 4), randn(4, 6)),
        None,
        (),
    ),
    "addmm of float64": (
        lambda c, a, b: torch.addmm(c, a, b, beta=0.1, alpha=0.3),
        tuple(t.double() for t in (randn(6), randn(3, 4), randn(4, 6))),
        None,
        (),
    ),
    "baddbmm": (
        lambda c, a, b: torch.baddbmm(c, a, b, beta=2),
        (randn(1, 6), randn(2, 3, 4), randn(2, 4, 6)),
        [None, {0: "b"}, {0: "b"}],
        (),
    ),
    "addbmm": (torch.addbmm, (randn(3, 6), randn(2, 3, 4), randn(2, 4, 6)), [None, {0: "b"}, {0: "b"}], ()),
    "addr of bools": (
        lambda c, a, b: (torch.addr(c, a, b), torch.addr(c, a, b, alpha=False)),
        (randn(3, 2) > 0, randn(3) > 0, randn(2) > 0),
        None,
        (),
    ),
    "bilinear": (nn.Bilinear(3, 4, 5), (randn(2, 6, 3), randn(2, 6, 4)), [{0: "b"}, {0: "b"}], ()),
    "einsum": (
        lambda a, b: (torch.einsum("bij,bjk", a, b), torch.einsum("...ij,...jk->ik", a, b)),
        (randn(2, 3, 4), randn(2, 4, 5)),
        [{0: "b"}, {0: "b"}],
        (),
    ),
    "einsum with dots of two lengths": (
        lambda a, b: torch.einsum("...ik,...j->...ij", a, b),
        (randn(2, 3, 4), randn(5)),
        BATCH,
        (),
    ),
    "chain": (lambda a, b, c: torch.linalg.multi_dot([a, b, c]), (randn(3, 4), randn(4, 5), randn(5)), None, ()),
}
IMAGES = {
    "conv2d": (nn.Conv2d(3, 8, 3, 2, 1, groups=1), (randn(2, 3, 9, 8),), IMAGE, ()),
    "conv2d of groups": (nn.Conv2d(4, 8, 3, dilation=2, groups=4), (randn(2, 4, 9, 8),), IMAGE, ()),
    "conv1d same, an even kernel": (nn.Conv1d(4, 6, 4, padding="same", dilation=3), (randn(4, 19),), [{1: "t"}], ()),
    "conv3d": (nn.Conv3d(2, 3, 2, padding="valid"), (randn(1, 2, 3, 4, 5),), BATCH, ()),
    "conv2d padded by reflection": (
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        (randn(1, 3, 5, 6),),
        IMAGE,
        (),
    ),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), (randn(2, 4, 5, 6),), IMAGE, ()),
    "transposed, longer than its stride": (
        nn.ConvTranspose1d(4, 6, 3, 2, 1, output_padding=3, dilation=4),
        (randn(2, 4, 5),),
        BATCH,
        (),
    ),
    "unfold": (lambda x: F.unfold(x, (3, 2), dilation=2, padding=1, stride=(2, 1)), (randn(2, 3, 7, 8),), IMAGE, ()),
    "fold": (lambda x: F.fold(F.unfold(x, 3, padding=1), x.shape[2:], 3, padding=1), (randn(2, 3, 5, 6),), IMAGE, ()),
    "pixel_shuffle": (lambda x: (F.pixel_shuffle(x, 2), F.channel_shuffle(x, 2)), (randn(2, 8, 3, 4),), IMAGE, ()),
    "pixel_shuffle without a batch": (lambda x: F.pixel_shuffle(x, 2), (randn(8, 3, 4),), None, ()),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), (randn(2, 3, 4, 6),), BATCH, ()),
    "pad": (
        lambda x: (F.pad(x, (1, -2, -1, 3), value=2.5), F.pad(x, (2, 1, 1, 2), "reflect")),
        (randn(2, 3, 5, 6),),
        IMAGE,
        (),
    ),
    "pad by what is there": (
        lambda x: (F.pad(x, (2, -3, 1, 2), "replicate"), F.pad(x, (2, 1, 0, 3), "circular")),
        (randn(2, 3, 5, 6),),
        IMAGE,
        (),
    ),
    "pad more than there is": (lambda x: F.pad(x, (-4, 5), "replicate"), (randn(2, 3, 4),), BATCH, ()),
    "pad of bools": (lambda x: F.pad(x, (1, 2), value=True), (randn(2, 3) > 0,), BATCH, ()),
    "grid_sample": (
        lambda x, g: (F.grid_sample(x, g, align_corners=False), F.grid_sample(x, g, "nearest", "border", True)),
        (randn(2, 3, 5, 6), randn(2, 4, 7, 2)),
        [{0: "b", 2: "h"}, {0: "b", 1: "k"}],
        (),
    ),
    "grid_sample, cubic": (
        lambda x, g: F.grid_sample(x, g, "bicubic", "reflection", align_corners=True),
        (randn(2, 3, 5, 6), randn(2, 4, 7, 2)),
        None,
        (),
    ),
    "affine_grid": (
        lambda t, x: F.grid_sample(x, F.affine_grid(t, (2, 3, 5, 6), align_corners=True), align_corners=True),
        (randn(2, 2, 3), randn(2, 3, 5, 6)),
        None,
        (),
    ),
}
NORMS = {
    "layer_norm": (nn.LayerNorm(8), (randn(3, 4, 8),), [{0: "b", 1: "t"}], ()),
    "layer_norm without a weight": (nn.LayerNorm((4, 8), elementwise_affine=False), (randn(3, 4, 8),), BATCH, ()),
    "rms_norm": (lambda x: F.rms_norm(x, (8,), eps=1e-5), (randn(3, 8),), BATCH, ()),
    "group_norm": (nn.GroupNorm(2, 6), (randn(3, 6, 5, 7),), IMAGE, ()),
    "group_norm of a matrix": (nn.GroupNorm(2, 6, affine=False), (randn(3, 6),), BATCH, ()),
    "instance_norm": (nn.InstanceNorm2d(4), (randn(2, 4, 5, 6),), IMAGE, ()),
    "instance_norm by running statistics": (
        nn.InstanceNorm2d(4, track_running_stats=True, affine=True).eval(),
        (randn(2, 4, 5, 6),),
        IMAGE,
        (),
    ),
    "batch_norm": (nn.BatchNorm2d(6).eval(), (randn(3, 6, 5, 7),), IMAGE, ()),
    "batch_norm of a matrix": (nn.BatchNorm1d(6, affine=False).eval(), (randn(3, 6),), BATCH, ()),
    "batch_norm without statistics": (nn.BatchNorm2d(6, track_running_stats=False), (randn(3, 6, 5, 7),), IMAGE, ()),
    "local_response_norm": (lambda x: F.local_response_norm(x, 3), (randn(2, 5, 4, 3),), IMAGE, ()),
    "weight_norm": (nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 2)), (randn(2, 3, 5),), LINE, ()),
    "normalize": (lambda x: (F.normalize(x), F.normalize(x, 1.0, -1)), (randn(3, 4),), BATCH, ((torch.zeros(2, 4),),)),
    "cosine": (
        lambda x, y: (F.cosine_similarity(x, y), F.pairwise_distance(x, y), F.pairwise_distance(x, y, 3.0)),
        (randn(3, 4), randn(3, 4)),
        [{0: "b"}, {0: "b"}],
        ((torch.zeros(2, 4), torch.zeros(2, 4)),),
    ),
}
ALONG = {
    "gelu": (lambda x: (F.gelu(x), F.gelu(x, approximate="tanh")), (randn(3, 4),), BATCH, ()),
    "prelu": (nn.PReLU(4), (randn(3, 4, 5),), LINE, ()),
    "glu": (lambda x: F.glu(x, 1), (randn(3, 6, 2),), BATCH, ()),
    "softmax": (
        lambda x: (F.softmax(x, 0), F.log_softmax(x, -1), F.softmin(x, 1)),
        (randn(3, 4),),
        [{0: "b", 1: "t"}],
        ((torch.full((2, 3), -inf),), (torch.tensor([[1e38, -1e38, inf]]),)),
    ),
    "softmax in another dtype": (lambda x: F.softmax(x, -1, dtype=torch.float32), (whole(3, 4),), BATCH, ()),
    "softmax of one element": (lambda x: (F.softmax(x, 0), F.log_softmax(x, -1)), (randn(()),), None, ()),
    "relu of integers": (lambda x: (F.relu(x), F.hardtanh(x, -2, 3)), (whole(3, 4),), BATCH, ()),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", [*PRODUCTS, *IMAGES, *NORMS, *ALONG])
def test_layer(name):
    model, inputs, dynamic, more = (PRODUCTS | IMAGES | NORMS | ALONG)[name]
    same(model, *inputs, dynamic=dynamic, more=more)


# -- statistics -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("layer", [nn.BatchNorm2d(3, momentum=0.3), nn.BatchNorm2d(3, affine=False)])
def test_training_moves_the_running_statistics(layer):
    layer.train()
    x = randn(4, 3, 5, 6)
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    model = exported(layer, x, dynamic=IMAGE)
    assert all(torch.equal(before[k], v) for k, v in layer.state_dict().items()), "the export changes nothing"
    y = randn(2, 3, 7, 4)
    found = model.run({next(iter(model.inputs)): y.numpy()})
    wanted = layer(y)
    arrays = [torch.as_tensor(a) for a in found.values()]
    assert torch.allclose(arrays[0], wanted, atol=1e-5)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        state = getattr(layer, name)
        assert any(a.shape == state.shape and torch.allclose(a.to(state.dtype), state, atol=1e-6) for a in arrays), name
