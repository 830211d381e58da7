"""Lowerings of pooling and resizing: tests/torch_same.py says what each case asserts."""

import math

import pytest
from torch_same import exported, same, torch

from interchange.errors import ConvertError, InterchangeError

F, nn = torch.nn.functional, torch.nn
torch.manual_seed(0)
randn = torch.randn
BATCH, IMAGE, LINE = [{0: "b"}], [{0: "b", 2: "h", 3: "w"}], [{0: "b", 2: "t"}]


def whole(*shape):
    return torch.randint(-9, 10, shape)


def holes(*shape):
    """Random numbers with NaN, inf and a channel of -inf among them."""
    x = randn(*shape)
    flat = x.view(shape[0], shape[1], -1)
    flat[0, 0, 3], flat[0, 1], flat[-1, 0, 5] = math.nan, -math.inf, math.inf
    return x


# -- pooling ----------------------------------------------------------------------------------------------------------
POOLS = {
    "max": (lambda x: F.max_pool2d(x, 3, 2, 1), (randn(2, 3, 11, 13),), IMAGE),
    "max after relu": (lambda x: F.max_pool2d(F.relu(x), 3, 2, 1), (randn(2, 3, 11, 13),), IMAGE),
    "max, dilated": (lambda x: F.max_pool2d(x, 2, 2, 1, dilation=3), (randn(2, 3, 11, 13),), IMAGE),
    "max, dilated, much padding": (lambda x: F.max_pool2d(x, 3, 1, 1, dilation=2), (randn(2, 3, 11, 13),), None),
    "max, rounded up": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), (randn(2, 3, 10, 12),), None),
    "max, a window in the padding": (lambda x: F.max_pool2d(x, 2, 3, 1, ceil_mode=True), (randn(2, 3, 10, 12),), None),
    "max, rounded up, dynamic": (lambda x: F.max_pool2d(x, 3, 2, 0, ceil_mode=True), (randn(2, 3, 10, 12),), IMAGE),
    "max1d": (lambda x: F.max_pool1d(x, 3, 2, 1), (randn(2, 3, 11),), BATCH),
    "max3d": (lambda x: F.max_pool3d(x, 2), (randn(2, 3, 4, 5, 6),), BATCH),
    "max of integers": (lambda x: F.max_pool2d(x, 3, 2, 1), (whole(2, 3, 10, 12),), IMAGE),
    "where": (lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True), (randn(2, 3, 11, 13),), IMAGE),
    "unpooled": (
        lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
        (randn(2, 3, 8, 12),),
        BATCH,
    ),
    "mean": (lambda x: F.avg_pool2d(x, 3, 2, 1), (randn(2, 3, 11, 13),), IMAGE),
    "mean of the image alone": (
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        (randn(2, 3, 11, 13),),
        IMAGE,
    ),
    "mean, rounded up": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), (randn(2, 3, 10, 12),), None),
    "mean, a window in the padding": (lambda x: F.avg_pool2d(x, 2, 3, 1, ceil_mode=True), (randn(2, 3, 10, 12),), None),
    "mean, rounded up, image alone": (
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        (randn(2, 3, 10, 12),),
        None,
    ),
    "mean over another count": (
        lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=5, ceil_mode=True),
        (randn(2, 3, 10, 12),),
        None,
    ),
    "mean of integers": (lambda x: F.avg_pool2d(x, 3, 2, 1), (whole(2, 3, 10, 12),), IMAGE),
    "mean1d": (lambda x: F.avg_pool1d(x, 2), (randn(2, 3, 11),), LINE),
    "to 1": (lambda x: F.adaptive_avg_pool2d(x, 1), (randn(2, 3, 5, 7),), IMAGE),
    "to a divisor": (lambda x: F.adaptive_avg_pool2d(x, (2, 3)), (randn(2, 3, 4, 9),), BATCH),
    "to any size": (lambda x: F.adaptive_avg_pool2d(x, (4, 6)), (randn(2, 3, 11, 13),), IMAGE),
    "to any size, one kept": (lambda x: F.adaptive_avg_pool2d(x, (None, 6)), (randn(2, 3, 11, 13),), IMAGE),
    "maxima to any size": (
        lambda x: F.adaptive_max_pool2d(x, (4, 6), return_indices=True),
        (randn(2, 3, 11, 13),),
        IMAGE,
    ),
    "maximum of all": (lambda x: F.adaptive_max_pool2d(x, 1), (randn(2, 3, 11, 13),), IMAGE),
    "p-norm": (lambda x: F.lp_pool2d(x, 2, 3, 2), (randn(2, 3, 10, 12),), IMAGE),
}


@pytest.mark.parametrize("name", POOLS)
def test_pool(name):
    function, (x,), dynamic = POOLS[name]
    more = ()
    if x.is_floating_point() and name not in ("unpooled", "p-norm", "max after relu"):
        more = [(holes(*x.shape),)]
    same(function, x, dynamic=dynamic, more=more)


def test_nan_goes_through_a_pool_after_relu():
    same(lambda x: F.max_pool2d(F.relu(x), 3, 2, 1), randn(1, 2, 6, 6), more=[(holes(1, 2, 6, 6),)])


def test_random_windows_are_refused():
    with pytest.raises(ConvertError, match="fractional max pooling draws its windows at random"):
        exported(nn.FractionalMaxPool2d(2, output_size=3), randn(1, 2, 8, 8))


# -- resizing ---------------------------------------------------------------------------------------------------------
MODES = ("nearest", "nearest-exact", "bilinear", "bicubic")
SIZES = {
    "twice": ({"scale_factor": 2}, IMAGE),
    "to a size": ({"size": (7, 9)}, IMAGE),
    "to a static size": ({"size": (7, 3)}, None),
    "by an odd factor": ({"scale_factor": (0.6, 1.7)}, None),
    "by a half": ({"scale_factor": 1.5}, IMAGE),
    "by a ratio": ({"scale_factor": 1.7, "recompute_scale_factor": True}, None),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES)
def test_interpolate(mode, size):
    arguments, dynamic = SIZES[size]
    same(lambda x: F.interpolate(x, mode=mode, **arguments), randn(2, 3, 6, 8), dynamic=dynamic)


INTERPOLATED = {
    "corners aligned": (
        lambda x: (
            F.interpolate(x, (7, 1), mode="bilinear", align_corners=True),
            F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=True),
        ),
        (randn(2, 3, 6, 8),),
        IMAGE,
    ),
    "smooth": (
        lambda x: (
            F.interpolate(x, (3, 5), mode="bilinear", antialias=True),
            F.interpolate(x, (30, 4), mode="bicubic", antialias=True),
        ),
        (randn(2, 3, 12, 17),),
        None,
    ),
    "to sizes made of sizes": (
        lambda x: F.interpolate(x, (x.shape[2] * 2, x.shape[3] + 3), mode="bilinear"),
        (randn(2, 3, 6, 8),),
        IMAGE,
    ),
    "a line": (
        lambda x: (F.interpolate(x, scale_factor=2, mode="linear"), F.interpolate(x, 5)),
        (randn(2, 3, 7),),
        LINE,
    ),
    "a volume": (
        lambda x: (F.interpolate(x, scale_factor=2, mode="trilinear"), F.interpolate(x, (4, 5, 6))),
        (randn(2, 3, 3, 4, 5),),
        LINE,
    ),
    "by area": (lambda x: F.interpolate(x, (4, 5), mode="area"), (randn(2, 3, 6, 8),), IMAGE),
    "bytes": (lambda x: F.interpolate(x, (4, 5)), (whole(2, 3, 6, 8).to(torch.uint8),), IMAGE),
}


@pytest.mark.parametrize("name", INTERPOLATED)
def test_interpolated(name):
    function, inputs, dynamic = INTERPOLATED[name]
    same(function, *inputs, dynamic=dynamic)


def test_interpolation_of_bytes_is_refused():
    with pytest.raises(ConvertError, match="fixed-point arithmetic"):
        exported(lambda x: F.interpolate(x, (4, 5), mode="bilinear"), whole(1, 3, 6, 8).to(torch.uint8))


def test_a_dynamic_size_by_a_factor_that_is_rounded_is_refused():
    with pytest.raises(InterchangeError, match="no form in ONNX"):
        exported(lambda x: F.interpolate(x, scale_factor=1.7), randn(2, 3, 6, 8), dynamic=IMAGE)


def test_smoothing_with_corners_aligned_is_refused():
    with pytest.raises(ConvertError, match="IX928: ONNX and PyTorch smooth by different windows"):
        exported(
            lambda x: F.interpolate(x, (3, 3), mode="bilinear", antialias=True, align_corners=True), randn(1, 2, 9, 9)
        )
