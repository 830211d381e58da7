"""Lowerings of torch.nn.functional under dynamic sizes: tests/torch_same.py says what each case asserts.

That each is right for static sizes, with every option, PyTorch's own database says: tests/test_torch_opinfo.py.
"""

import pytest
from torch_same import same, torch

from interchange.errors import ConvertError

F = torch.nn.functional
image = torch.randn(2, 4, 9, 7)
signal = torch.randn(2, 4, 9)
volume = torch.randn(1, 2, 5, 6, 7)
ANY = [{0: "batch", 2: "height", 3: "width"}]
LINE = [{0: "batch", 2: "time"}]
SPACE = [{0: "batch", 2: "depth", 3: "height", 4: "width"}]
k = torch.randn

CASES = {
    "conv1d": (lambda x: F.conv1d(x, k1, padding=1, stride=2), signal, LINE),
    "conv2d": (lambda x: F.conv2d(x, k2, bias, padding=(1, 2), dilation=2), image, ANY),
    "depthwise": (lambda x: F.conv2d(x, kd, padding="same", groups=4), image, ANY),
    "conv3d": (lambda x: F.conv3d(x, k3, padding=1), volume, SPACE),
    "transposed": (lambda x: F.conv_transpose2d(x, kt, stride=2, padding=1, output_padding=1), image, ANY),
    "max_pool": (lambda x: F.max_pool2d(x, 3, stride=2, padding=1), image, ANY),
    "max_pool ceil": (lambda x: F.max_pool2d(x, 2, stride=2, ceil_mode=True), image, [{0: "batch"}]),
    "max_pool indices": (lambda x: F.max_pool2d(x, 2, return_indices=True), image, ANY),
    "avg_pool": (lambda x: F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False), image, ANY),
    "global": (lambda x: F.adaptive_avg_pool2d(x, 1), image, ANY),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, (4, 3)), image, [{0: "batch"}]),
    "adaptive max": (lambda x: F.adaptive_max_pool1d(x, 4), signal, [{0: "batch"}]),
    "layer_norm": (lambda x: F.layer_norm(x, (7,), weight, None), image, [{0: "batch", 2: "height"}]),
    "group_norm": (lambda x: F.group_norm(x, 2, bias, bias), image, ANY),
    "instance_norm": (lambda x: F.instance_norm(x), image, [{0: "batch"}]),
    "rms_norm": (lambda x: F.rms_norm(x, (7,), weight), image, [{0: "batch", 2: "height"}]),
    "batch_norm": (lambda x: F.batch_norm(x, bias, bias.exp(), bias, bias), image, ANY),
    "local_response": (lambda x: F.local_response_norm(x, 3), image, ANY),
    "normalize": (lambda x: F.normalize(x, dim=1), image, ANY),
    "constant pad": (lambda x: F.pad(x, (1, 2, -1, 3), value=2.5), image, ANY),
    "reflect": (lambda x: F.pad(x, (1, 2, 2, 1), mode="reflect"), image, [{0: "batch"}]),
    "replicate": (lambda x: F.pad(x, (1, 2, 2, 1), mode="replicate"), image, ANY),
    "circular": (lambda x: F.pad(x, (1, 2), mode="circular"), signal, [{0: "batch"}]),
    "nearest": (lambda x: F.interpolate(x, scale_factor=2), image, ANY),
    "nearest size": (lambda x: F.interpolate(x, size=(5, 11)), image, [{0: "batch"}]),
    "bilinear": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), image, ANY),
    "corners": (lambda x: F.interpolate(x, size=(18, 15), mode="bilinear", align_corners=True), image, [{0: "batch"}]),
    "bicubic": (lambda x: F.interpolate(x, size=(12, 15), mode="bicubic"), image, [{0: "batch"}]),
    "like another": (lambda x: F.interpolate(x, size=x.shape[2] * 2, mode="nearest"), signal, LINE),
    "shuffle": (lambda x: F.pixel_shuffle(x, 2), image, ANY),
    "unshuffle": (lambda x: F.pixel_unshuffle(x, 3), image[..., :6], [{0: "batch"}]),
    "unfold": (lambda x: F.unfold(x, 3, padding=1), image, [{0: "batch"}]),
    "softmax": (lambda x: (F.softmax(x, -1), F.log_softmax(x, 1), F.softmin(x, 2)), image, ANY),
    "smooth": (lambda x: (F.gelu(x), F.gelu(x, approximate="tanh"), F.silu(x), F.mish(x), F.softplus(x)), image, ANY),
    "bent": (lambda x: (F.relu6(x), F.elu(x), F.selu(x), F.celu(x), F.leaky_relu(x), F.hardtanh(x)), image, ANY),
    "hard": (lambda x: (F.hardswish(x), F.hardsigmoid(x), F.hardshrink(x), F.softshrink(x), F.glu(x, 1)), image, ANY),
    "prelu": (lambda x: (F.prelu(x, bias), F.logsigmoid(x), F.tanhshrink(x), F.threshold(x, 0.1, 9.0)), image, ANY),
    "grid": (lambda x: F.grid_sample(x, grid, align_corners=False), image, [{2: "height", 3: "width"}]),
}
k1, k2, kd, k3, kt = k(5, 4, 3), k(4, 4, 3, 3), k(4, 1, 3, 3), k(3, 2, 3, 3, 3), k(4, 2, 3, 3)
bias, weight, grid = k(4), k(7), k(2, 5, 6, 2).clamp(-1.2, 1.2)


@pytest.mark.parametrize("name", CASES)
def test_function(name):
    function, x, dynamic = CASES[name]
    same(function, x, dynamic=dynamic)


def query(*shape):
    return torch.randn(*shape)


ATTENTION = {
    "2-d": ((query(5, 8), query(7, 8), query(7, 6)), {}),
    "3-d": ((query(2, 5, 8), query(2, 7, 8), query(2, 7, 8)), {}),
    "4-d": ((query(2, 3, 5, 8), query(2, 3, 7, 8), query(2, 3, 7, 6)), {"scale": 0.3}),
    "5-d": ((query(2, 2, 3, 5, 8), query(2, 2, 3, 7, 8), query(2, 2, 3, 7, 8)), {}),
    "causal, more keys than queries": ((query(2, 3, 5, 8), query(2, 3, 7, 8), query(2, 3, 7, 8)), {"is_causal": True}),
    "causal, fewer keys": ((query(2, 3, 7, 8), query(2, 3, 5, 8), query(2, 3, 5, 8)), {"is_causal": True}),
    "bias": ((query(2, 3, 5, 8), query(2, 3, 7, 8), query(2, 3, 7, 8), query(5, 7)), {}),
    "mask": ((query(2, 3, 5, 8), query(2, 3, 7, 8), query(2, 3, 7, 8), query(2, 1, 5, 7) > -0.5), {}),
    "groups": ((query(2, 6, 5, 8), query(2, 2, 7, 8), query(2, 2, 7, 8)), {"enable_gqa": True}),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_of_any_length(name):
    inputs, options = ATTENTION[name]
    rows, columns = len(inputs[0].shape) - 2, len(inputs[1].shape) - 2
    dynamic = [{rows: "queries"}, {columns: "keys"}, {columns: "keys"}]
    if len(inputs) == 4:
        dynamic.append({len(inputs[3].shape) - 2: "queries", len(inputs[3].shape) - 1: "keys"})
    same(lambda *x: F.scaled_dot_product_attention(*x, **options), *inputs, dynamic=dynamic)


def test_a_query_that_sees_no_key_gives_what_pytorch_gives():
    mask = torch.ones(4, 5, dtype=torch.bool)
    mask[2] = False
    inputs = query(1, 2, 4, 8), query(1, 2, 5, 8), query(1, 2, 5, 8)
    same(F.scaled_dot_product_attention, *inputs, mask)


def test_multihead_attention_and_encoder_layers():
    layer = torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
    encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    same(encoder, query(2, 5, 16), dynamic=[{0: "batch", 1: "time"}])
    decoder = torch.nn.TransformerDecoderLayer(16, 4, 32, batch_first=True).eval()
    dynamic = [{0: "batch", 1: "target"}, {0: "batch", 1: "source"}]
    same(decoder, query(2, 5, 16), query(2, 7, 16), dynamic=dynamic)


classes = torch.tensor([1, 0, 3, 2, 1])
LOSSES = {
    "mse": (F.mse_loss, (query(5, 4), query(5, 4))),
    "l1": (F.l1_loss, (query(5, 4), query(5, 4))),
    "smooth": (F.smooth_l1_loss, (query(5, 4), query(5, 4))),
    "huber": (lambda a, b: F.huber_loss(a, b, delta=0.5), (query(5, 4), query(5, 4))),
    "bce": (F.binary_cross_entropy, (query(5, 4).sigmoid(), query(5, 4).sigmoid())),
    "logits": (lambda a, b: F.binary_cross_entropy_with_logits(a, b, pos_weight=ones), (query(5, 4), query(5, 4) * 0)),
    "classes": (F.cross_entropy, (query(5, 4), classes)),
    "weights": (lambda a, b: F.cross_entropy(a, b, ones, label_smoothing=0.1), (query(5, 4), classes)),
    "ignored": (lambda a, b: F.cross_entropy(a, b, ignore_index=1), (query(5, 4), classes)),
    "probabilities": (F.cross_entropy, (query(5, 4), query(5, 4).softmax(-1))),
    "each": (lambda a, b: F.cross_entropy(a, b, reduction="none"), (query(5, 4), classes)),
    "likelihood": (lambda a, b: F.nll_loss(a.log_softmax(1), b, reduction="sum"), (query(5, 4), classes)),
    "divergence": (lambda a, b: F.kl_div(a, b, reduction="batchmean"), (query(5, 4), query(5, 4).softmax(-1))),
    "cosine": (lambda a, b: F.cosine_similarity(a, b), (query(5, 4), query(5, 4))),
    "triplet": (lambda a, b: F.triplet_margin_loss(a, b, a + b), (query(5, 4), query(5, 4))),
}
ones = torch.tensor([1.0, 2.0, 0.5, 3.0])


@pytest.mark.parametrize("name", LOSSES)
def test_loss_over_any_batch(name):
    function, inputs = LOSSES[name]
    same(function, *inputs, dynamic=[{0: "batch"}, {0: "batch"}])


def test_what_onnx_has_no_form_of_is_refused():
    with pytest.raises(ConvertError, match="IX921"):
        same(lambda x: F.interpolate(x, size=(3, 3), mode="bilinear", antialias=True, align_corners=True), image)
