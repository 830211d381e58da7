"""Attention of every form: tests/torch_same.py says what each case asserts."""

import math

import onnx
import pytest
from torch_same import exported, same, torch

import interchange as ix

F, nn = torch.nn.functional, torch.nn
attention = F.scaled_dot_product_attention
torch.manual_seed(0)
randn = torch.randn
QUERY, KEY = {0: "b", 2: "l"}, {0: "b", 2: "s"}
QKV = [QUERY, KEY, KEY]


def heads(q=4, k=4, features=8, value=8):
    return randn(2, q, 6, features), randn(2, k, 9, features), randn(2, k, 9, value)


def mask(*shape):
    """A mask, of which some rows let nothing through."""
    m = randn(*shape) > 0.8
    m[..., 0, :] = False
    return m


def added(*shape):
    return torch.where(mask(*shape), randn(*shape), -math.inf)


CASES = {
    "plain": (attention, heads(value=10), QKV),
    "scaled": (lambda q, k, v: attention(q, k, v, scale=0.3), heads(), QKV),
    "matrices": (attention, (randn(6, 8), randn(9, 8), randn(9, 4)), [{0: "l"}, {0: "s"}, {0: "s"}]),
    "three axes": (
        lambda q, k, v: attention(q, k, v, is_causal=True),
        (randn(3, 6, 8), randn(3, 9, 8), randn(3, 9, 8)),
        [{0: "b", 1: "l"}, {0: "b", 1: "s"}, {0: "b", 1: "s"}],
    ),
    "five axes": (attention, (randn(2, 3, 4, 6, 8), randn(2, 3, 4, 9, 8), randn(2, 3, 4, 9, 8)), [{0: "b"}] * 3),
    "causal, fewer queries": (lambda q, k, v: attention(q, k, v, is_causal=True), heads(), QKV),
    "causal, fewer keys": (
        lambda q, k, v: attention(q, k, v, is_causal=True),
        (randn(2, 4, 9, 8), randn(2, 4, 6, 8), randn(2, 4, 6, 8)),
        QKV,
    ),
    "causal, static": (lambda q, k, v: attention(q, k, v, is_causal=True), heads(), [{0: "b"}] * 3),
    "masked": (attention, (*heads(), mask(2, 1, 6, 9)), [*QKV, {0: "b", 2: "l", 3: "s"}]),
    "masked by a matrix": (attention, (*heads(), mask(6, 9)), [*QKV, {0: "l", 1: "s"}]),
    "biased": (attention, (*heads(), added(2, 4, 6, 9)), [*QKV, {0: "b", 2: "l", 3: "s"}]),
    "grouped": (lambda q, k, v: attention(q, k, v, enable_gqa=True), heads(6, 2, value=10), QKV),
    "grouped and masked": (
        lambda q, k, v, m: attention(q, k, v, m, enable_gqa=True),
        (*heads(6, 2), mask(2, 1, 6, 9)),
        [*QKV, {0: "b", 2: "l", 3: "s"}],
    ),
    "dynamic features": (attention, heads(), [{0: "b", 3: "e"}, {0: "b", 3: "e"}, {0: "b", 3: "e"}]),
    "float16": (attention, tuple(t.half() for t in heads()), QKV),
}


@pytest.mark.parametrize("name", CASES)
def test_attention(name):
    function, inputs, dynamic = CASES[name]
    same(function, *inputs, dynamic=dynamic)


def test_a_query_that_sees_nothing_gives_zeros():
    q, k, v = heads()
    nothing = torch.zeros(6, 9, dtype=torch.bool)
    never = torch.full((6, 9), -math.inf)
    unknown = torch.full((6, 9), math.nan)
    same(attention, q, k, v, torch.ones_like(nothing), more=[(q, k, v, nothing)])
    same(attention, q, k, v, torch.zeros_like(never), more=[(q, k, v, never), (q, k, v, unknown)])


LAYERS = {
    "multi-head": (
        nn.MultiheadAttention(16, 4, batch_first=True),
        (randn(2, 5, 16), randn(2, 7, 16), randn(2, 7, 16)),
        [{0: "b", 1: "t"}, {0: "b", 1: "s"}, {0: "b", 1: "s"}],
    ),
    "encoder": (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2, enable_nested_tensor=False),
        (randn(2, 5, 16),),
        [{0: "b", 1: "t"}],
    ),
    "encoder, normalised first": (
        nn.TransformerEncoderLayer(16, 4, 32, activation="gelu", norm_first=True),
        (randn(5, 2, 16),),
        [{0: "t", 1: "b"}],
    ),
    "decoder": (
        nn.TransformerDecoderLayer(16, 4, 32, batch_first=True),
        (randn(2, 5, 16), randn(2, 7, 16)),
        [{0: "b", 1: "t"}, {0: "b", 1: "s"}],
    ),
    "both": (
        nn.Transformer(16, 4, 1, 1, 32, batch_first=True),
        (randn(2, 5, 16), randn(2, 7, 16)),
        [{0: "b", 1: "t"}, {0: "b", 1: "s"}],
    ),
}


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    layer, inputs, dynamic = LAYERS[name]
    same(layer.eval(), *inputs, dynamic=dynamic)


def test_padding_and_causal_masks_of_an_encoder():
    """PyTorch's fast path, which it does not capture, has other numbers at padded places: compared is the other one."""
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()

    def run(x, padding):
        causal = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return layer(x, src_mask=causal, src_key_padding_mask=padding, is_causal=True)

    padding = torch.where(torch.tensor([[0, 0, 0, 0, 1], [0, 0, 1, 1, 1]]) > 0, -math.inf, 0.0)
    exported(run, randn(2, 5, 16), padding, dynamic=[{0: "b", 1: "t"}, {0: "b", 1: "t"}])
    encoder = nn.TransformerEncoder(layer, 1).eval()
    hidden = torch.tensor([[0, 0, 0, 0, 1], [0, 0, 1, 1, 1]]) > 0
    exported(lambda x, h: encoder(x, src_key_padding_mask=h), randn(2, 5, 16), hidden, dynamic=[{0: "b", 1: "t"}] * 2)
    assert torch.backends.mha.get_fastpath_enabled()


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def test_the_graph_is_what_the_runtime_joins(tmp_path):
    """No reshapes around the products, one scale, and nothing for keys that every query sees."""
    q, k, v = heads()
    path = tmp_path / "m.onnx"
    ix.export(lambda q, k, v: attention(q, k, v), (q, k, v), path)
    assert sorted(operators(path)) == ["MatMul", "MatMul", "Mul", "Softmax", "Transpose"]


def test_a_large_causal_mask_is_no_data(tmp_path):
    q = randn(1, 1, 300, 4)
    path = tmp_path / "m.onnx"
    ix.export(lambda q: attention(q, q, q, is_causal=True), (q,), path)
    assert path.stat().st_size < 10_000


def test_dropout_in_training_is_drawn_by_the_runtime():
    q, k, v = heads()
    model = exported(lambda q, k, v: attention(q, k, v, dropout_p=0.5), q, k, v, verify=False)
    arrays = dict(zip(model.inputs, (t.numpy() for t in (q, k, v)), strict=True))
    first, second = (next(iter(model.run(arrays).values())) for _ in range(2))
    assert first.shape == (2, 4, 6, 8)
    assert (first != second).any()
