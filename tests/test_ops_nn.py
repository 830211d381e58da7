"""Convolution, pooling, resizing, padding and normalisation beyond the one case each of ops_cases.py.

Random attributes against ONNX Runtime and central differences; symbolic spatial sizes, traced and run; older opsets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import test_ops_numeric as numeric
import test_ops_traced as in_traces
from onnx import helper
from onnx.reference import ReferenceEvaluator
from ops_cases import Case, Sizes, apart, constant, ints, positive
from tracing import run, traced

from interchange.dtypes import Array
from interchange.eager.tape import check_gradient, grad
from interchange.eager.tensor import Tensor, wrap
from interchange.errors import OperatorError
from interchange.ops import TABLE, Op, conv
from interchange.ops.norm import normalize_batch
from interchange.ops.resize import block_sum, upsample
from interchange.ops.windows import transposed_windows, windows


def op(name: str) -> Op[Any]:
    return TABLE["", name]


def tensor(rng: np.random.Generator, *shape: int) -> Tensor:
    return wrap(rng.standard_normal(shape))


def check(f: Callable[..., Tensor], *primals: Tensor) -> None:
    """`check_gradient` of f weighted by random numbers: a sum alone would hide where a gradient goes."""
    weights = wrap(np.random.default_rng(5).uniform(0.5, 1.5, f(*primals).shape))
    check_gradient(lambda *xs: f(*xs) * weights, *primals, rtol=1e-4)


# -- random attributes -------------------------------------------------------------------------------------------------
def _windows(rng: np.random.Generator, rank: int, pooling: bool) -> dict[str, Any]:
    pick = lambda low, high, n=rank: tuple(int(v) for v in rng.integers(low, high + 1, n))  # noqa: E731
    kernel = pick(1, 3)
    found: dict[str, Any] = {"kernel_shape": kernel, "strides": kernel if rng.random() < 0.3 else pick(1, 3)}
    found["auto_pad"] = str(rng.choice(["NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if found["auto_pad"][:4] != "SAME":
        found["dilations"] = pick(1, 2)
    if found["auto_pad"] == "NOTSET" and rng.random() < 0.7:
        most = [k - 1 if pooling else 2 for k in kernel]
        found["pads"] = tuple(int(rng.integers(0, m + 1)) for m in most * 2)
    return found


def _agree(case: Case, *, gradient: bool) -> None:
    """Kernel, shape rule and gradient of a case with static sizes; sizes the operator refuses are another test's."""
    try:
        numeric.test_kernel_is_onnx_runtimes(case)
    except OperatorError as error:
        assert error.code == "IX112"  # noqa: PT017
        return
    numeric.test_static_shape_rule(case)
    if gradient:
        numeric.test_gradient_is_the_derivative(case)


@pytest.mark.parametrize("seed", range(7))
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_random_convolutions(rank: int, seed: int) -> None:
    rng = np.random.default_rng(seed * 3 + rank)
    group, each = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    at = {**_windows(rng, rank, False), "group": group}
    image = ", ".join(str(s) for s in rng.integers(5, 8 if rank < 3 else 6, rank))
    maps = ", ".join(str(s) for s in rng.integers(2, 5 if rank < 3 else 4, rank))
    kernel = ", ".join(map(str, at["kernel_shape"]))
    c = group * each
    filters = 2 * group
    small = rank < 3 or seed == 0
    x, w, b = f"float32[2, {c}, {image}]", f"float32[{filters}, {each}, {kernel}]", f"float32[{filters}]"
    _agree(Case("Conv", (x, w, b), at, rtol=1e-4), gradient=small)
    if at["auto_pad"] == "NOTSET":
        at["output_padding"] = tuple(int(rng.integers(0, s)) for s in at["strides"])
    x, w = f"float32[2, {c}, {maps}]", f"float32[{c}, 2, {kernel}]"
    _agree(Case("ConvTranspose", (x, w, b), at, rtol=1e-4), gradient=small)


@pytest.mark.parametrize("seed", range(9))
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_random_pooling(rank: int, seed: int) -> None:
    rng = np.random.default_rng(seed * 3 + rank)
    at = {**_windows(rng, rank, True), "ceil_mode": int(rng.integers(0, 2))}
    x = f"float32[{2 if rank < 3 else 1}, 2, {', '.join(str(s) for s in rng.integers(4, 7 if rank < 3 else 6, rank))}]"
    small = rank < 3 or seed < 2
    # ONNX Runtime's MaxPool refuses the kernel smaller than its stride that auto_pad=SAME asks no pads for
    odd = at["auto_pad"][:4] == "SAME" and any(k < s for k, s in zip(at["kernel_shape"], at["strides"], strict=True))
    order = int(rng.integers(0, 2))
    runtime = "negative pads" if odd else None
    _agree(Case("MaxPool", (apart(x),), {**at, "outputs": 2, "storage_order": order}, runtime=runtime), gradient=small)
    _agree(Case("AveragePool", (x,), {**at, "count_include_pad": int(rng.integers(0, 2))}), gradient=small)
    _agree(Case("LpPool", (positive(x),), {**at, "p": int(rng.integers(1, 4))}, rtol=1e-4), gradient=small)


MODES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("where", MODES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_random_resize(mode: str, where: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    at: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": where}
    if mode == "nearest":
        at["nearest_mode"] = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"][seed % 4]
    else:
        at["antialias"] = int(seed % 3 == 0)
    if mode == "cubic":
        at |= {"exclude_outside": int(seed % 2), "cubic_coeff_a": -0.5 if seed < 3 else -0.75}
    h, w = rng.integers(2, 7, 2)
    inputs: list[Any] = [f"float32[1, 2, {h}, {w}]", None]
    if seed % 2:
        inputs.append(constant([1, 1, *rng.choice([0.5, 1.0, 1.5, 2.0, 3.0], 2)]))
    else:
        inputs += [None, ints(1, 2, int(rng.integers(1, 10)), int(rng.integers(1, 10)))]
    # a position that falls between two elements rounds as its float32 arithmetic has it
    ties = mode == "nearest" and (seed % 2 == 0 or where == "half_pixel_symmetric")
    _agree(
        Case("Resize", tuple(inputs), at, as_is=(2,), rtol=1e-4, runtime="ties" if ties else None), gradient=seed < 3
    )


def test_resize_crops_and_extrapolates() -> None:
    at = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 7.0}
    roi = constant([0, 0, 0.1, -0.2, 1, 1, 0.8, 1.1])
    sizes = ints(1, 2, 6, 7)
    case = Case("Resize", ("float32[1, 2, 4, 5]", roi, None, sizes), at, by=(0,), rtol=1e-4)
    _agree(case, gradient=True)
    assert (numeric.numpy_kernel(case, case.arrays())[0][..., 0] == 7).all()


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_resize_keeps_the_aspect_ratio(policy: str) -> None:
    at: dict[str, Any] = {"mode": "linear", "keep_aspect_ratio_policy": policy, "axes": (2, 3)}
    case = Case("Resize", ("float32[1, 2, 4, 6]", None, None, ints(6, 7)), at, rtol=1e-4)
    _agree(case, gradient=True)
    wanted = numeric.numpy_kernel(case, case.arrays())[0]
    x = case.arrays()[0]
    # ONNX Runtime forgets the policy of an axis counted from the end: neither eager code nor a graph asks that of it
    from_end = lambda x: op("Resize")(x, None, None, ints(6, 7), **{**at, "axes": (2, -1)})  # noqa: E731
    np.testing.assert_allclose(from_end(wrap(x)).numpy(), wanted, rtol=1e-4)
    trace, _ = traced(from_end, "float32[1, 2, 4, 6]")
    np.testing.assert_allclose(run(trace, x)[0], wanted, rtol=1e-4)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [(1, 2, 0, 3), (-1, 2, 2, -1), (0, 3, 0, 0), (-1, -1, -1, -2), (3, 0, 3, 0)])
def test_pads_of_either_sign(mode: str, pads: tuple[int, ...]) -> None:
    _agree(Case("Pad", ("float32[4, 6]", ints(*pads)), {"mode": mode}), gradient=True)
    _agree(Case("Pad", ("float32[4, 2, 6]", ints(*pads), None, ints(-1, 0)), {"mode": mode}), gradient=True)


# -- symbolic spatial sizes --------------------------------------------------------------------------------------------
IMAGE = "float32[n, 2, m + 4, c + 3]"


def _symbolic() -> list[Case]:
    found: list[Case] = []
    forms: list[dict[str, Any]] = [
        {},
        {"strides": (2, 2)},
        {"strides": (2, 1), "pads": (1, 0, 1, 1)},
        {"pads": (1, 1, 1, 1), "strides": (3, 2), "dilations": (2, 1)},
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "SAME_LOWER", "strides": (2, 3)},
    ]
    for at in forms:
        found.append(Case("Conv", (IMAGE, "float32[3, 2, 3, 2]", "float32[3]"), at, rtol=1e-4))
        found.append(Case("Conv", (IMAGE, "float32[4, 1, 2, 2]"), {**at, "group": 2}, rtol=1e-4))
        if "auto_pad" not in at:
            found.append(Case("ConvTranspose", (IMAGE, "float32[2, 2, 3, 2]", "float32[2]"), at, rtol=1e-4))
        for ceil in (0, 1):
            pool = {**at, "kernel_shape": (2, 3), "ceil_mode": ceil}
            found.append(Case("MaxPool", (apart(IMAGE),), pool))
            found.append(Case("AveragePool", (IMAGE,), {**pool, "count_include_pad": ceil}))
            found.append(Case("AveragePool", (IMAGE,), {**pool, "count_include_pad": 1 - ceil}))
        found.append(Case("LpPool", (IMAGE,), {**at, "kernel_shape": (2, 3)}, rtol=1e-4))
    channels = ("float32[2]", "float32[2]", "float32[2]", positive("float32[2]"))
    linear = {"mode": "linear"}
    crop = {**linear, "coordinate_transformation_mode": "tf_crop_and_resize"}
    roi = constant([0, 0, 0.1, 0, 1, 1, 0.8, 0.9])
    return [
        *found,
        Case("ConvTranspose", (IMAGE, "float32[2, 2, 3, 2]"), {"auto_pad": "SAME_UPPER", "strides": (2, 1)}, rtol=1e-4),
        Case("MaxPool", (apart("float32[n, 2, 2*m, 3*c]"),), {"kernel_shape": (2, 3), "strides": (2, 3)}),
        Case("AveragePool", ("float32[n, 2, 2*m, 3*c]",), {"kernel_shape": (2, 3), "strides": (2, 3)}),
        Case("AveragePool", ("float32[n, m, c + 2]",), {"kernel_shape": (3,), "pads": (1, 1)}),
        Case("MaxPool", (apart(IMAGE),), {"kernel_shape": (2, 2), "strides": (2, 2)}),
        Case("GlobalAveragePool", (IMAGE,)),
        Case("GlobalMaxPool", (apart(IMAGE),)),
        Case("Resize", (IMAGE, None, constant([1, 1, 2, 3])), as_is=(2,), rtol=1e-4),
        Case("Resize", (IMAGE, None, constant([1, 1, 0.5, 1.5])), linear, as_is=(2,), rtol=1e-4),
        Case("Resize", (IMAGE, None, None, Sizes("n, 2, 2*m, c")), linear, rtol=1e-4),
        Case("Resize", (IMAGE, None, None, Sizes("n, 2, 7, 2*c + 6")), {"mode": "cubic"}, rtol=1e-4),
        Case("Resize", (IMAGE, None, None, Sizes("n, 2, 2*m + 8, 2*c + 6")), rtol=1e-4),
        Case("Resize", (IMAGE, roi, None, Sizes("n, 2, 2*m, 2*c + 6")), crop, by=(0,), rtol=1e-4),
        Case("Pad", (IMAGE, Sizes("0, 0, m, 1, 0, 0, c, -1"))),
        *(Case("Pad", (IMAGE, ints(0, 0, 2, 1, 0, 0, 1, 2)), {"mode": mode}) for mode in ("reflect", "edge", "wrap")),
        Case("BatchNormalization", (IMAGE, *channels), rtol=1e-4),
        Case("LayerNormalization", ("float32[n, m, c]", "float32[m, c]"), {"axis": 1}, rtol=1e-4),
        Case("LayerNormalization", ("float32[n, m, c]", "float32[c]", "float32[c]"), {"outputs": 3}, rtol=1e-3),
        Case("RMSNormalization", ("float32[n, m, c]", "float32[c]"), rtol=1e-4),
        Case("GroupNormalization", ("float32[n, 4, m, c]", *["float32[4]"] * 2), {"num_groups": 2}, rtol=1e-4),
        Case("InstanceNormalization", (IMAGE, "float32[2]", "float32[2]"), rtol=1e-4),
        Case("DepthToSpace", ("float32[n, 8, m, c]",), {"blocksize": 2, "mode": "CRD"}),
        Case("SpaceToDepth", ("float32[n, 2, 2*m, 4*c]",), {"blocksize": 2}),
        Case("Col2Im", ("float32[n, 8, m*c]", Sizes("m + 1, c + 1"), ints(2, 2))),
    ]


@pytest.mark.parametrize("case", [pytest.param(c, id=c.id) for c in _symbolic()])
def test_symbolic_spatial_sizes(case: Case) -> None:
    """The shape rule, and the traced operator with its gradient in ONNX Runtime, at several sizes of n, m and c."""
    for m, c in ((2, 4), (5, 1), (7, 3)):
        numeric.test_symbolic_shape_rule(_sized(case, m, c))
    in_traces.test_traced_operator_and_gradient_agree_with_eager(_sized(case, 3, 5))


def _sized(case: Case, m: int, c: int) -> Case:
    from dataclasses import replace

    return replace(case, sizes={"m": m, "c": c})


# -- older opsets ------------------------------------------------------------------------------------------------------
OLD: list[tuple[int, Case, set[str]]] = [
    (17, Case("Pad", ("float32[2, 4]", ints(1, 2), None, ints(-1)), {"mode": "reflect"}), {"Pad"}),
    (17, Case("Pad", ("float32[2, 4]", ints(0, 1, 0, 2)), {"mode": "wrap"}), {"Concat"}),
    (17, Case("AveragePool", ("float32[2, 3, 7]",), {"kernel_shape": (2,), "dilations": (2,)}), {"Conv"}),
    (17, Case("LpPool", ("float32[2, 3, 7]",), {"kernel_shape": (2,), "dilations": (2,)}), {"Conv"}),
    (17, Case("Resize", ("float32[1, 2, 4, 4]", None, None, ints(6, 6)), {"axes": (2, 3)}), {"Resize"}),
    (17, Case("Resize", ("float32[1, 2, 4, 4]", None, constant([0.5, 0.5])), {"axes": (2, 3)}), {"Resize"}),
    (
        17,
        Case("Resize", ("float32[1, 2, 6, 6]", None, None, ints(1, 2, 3, 4)), {"mode": "linear", "antialias": 1}),
        {"MatMul", "Transpose"},
    ),
    (17, Case("Col2Im", ("float32[1, 8, 6]", ints(3, 4), ints(2, 2))), {"ConvTranspose", "Reshape"}),
    (20, Case("GroupNormalization", ("float32[2, 4, 3]", *["float32[4]"] * 2), {"num_groups": 2}), {"Add"}),
    (21, Case("RMSNormalization", ("float32[2, 4]", "float32[4]")), {"ReduceMean", "Mul"}),
    (21, Case("SpaceToDepth", ("float32[1, 2, 4, 4]",), {"blocksize": 2, "mode": "CRD"}), {"Reshape", "Transpose"}),
]


@pytest.mark.parametrize(("opset", "case", "has"), [pytest.param(*o, id=f"{o[0]}-{o[1].id}") for o in OLD])
def test_older_opsets_say_it_with_what_they_have(opset: int, case: Case, has: set[str]) -> None:
    arrays = case.arrays()
    rest = [None if a is None else wrap(a) for a in arrays]
    at = [i for i, x in enumerate(case.inputs) if isinstance(x, str)]

    def f(*xs: Tensor) -> Sequence[Tensor]:
        full = list(rest)
        leaves = [x.as_leaf() for x in xs]
        for i, x in zip(at, leaves, strict=True):
            full[i] = x
        y = case.operator(*full, **case.attributes)
        (y * y).sum().backward()
        return y.detach(), *(x.grad for x in leaves)

    trace, _ = traced(f, *(str(case.inputs[i]) for i in at), opset=opset)
    assert {node.op_type for node in trace.graph.nodes} >= has
    for a, b in zip(run(trace, *(arrays[i] for i in at)), f(*(rest[i] for i in at)), strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-4)


def test_what_an_older_opset_cannot_wrap_is_refused() -> None:
    assert op("Pad")(wrap(np.arange(2.0)), ints(3, 0), mode="wrap").shape == (5,)
    with pytest.raises(OperatorError, match="less the pads"):
        traced(lambda x: op("Pad")(x, ints(3, 0), mode="wrap"), "float32[2]", opset=17)


# -- convolution -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["product", "gemm", "conv"])
@pytest.mark.parametrize("group", [1, 2])
def test_every_form_of_the_weight_gradient(form: str, group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv, "_SMALL", 0 if form == "gemm" else 10**9)
    monkeypatch.setattr(conv, "_FEW_TAPS", 0 if form == "conv" else 64)
    rng = np.random.default_rng(1)
    for at in (
        {"strides": (2, 1), "pads": (1, 0, 2, 1), "dilations": (1, 2)},
        {"strides": (1, 1)},
        {"pads": (1, 1, 1, 1)},
    ):
        x, w = tensor(rng, 2, 4, 6, 7), tensor(rng, 2, 4 // group, 3, 2)
        check(lambda w, x=x, at=at: op("Conv")(x, w, group=group, **at), w)
        v = tensor(rng, 4, 3, 3, 2)
        check(lambda v, x=x, at=at: op("ConvTranspose")(x, v, group=group, **at), v)


@pytest.mark.parametrize("name", ["Conv", "ConvTranspose"])
def test_second_derivatives_of_convolution(name: str) -> None:
    rng = np.random.default_rng(2)
    x, w, g = tensor(rng, 1, 2, 5), tensor(rng, 2, 1, 2), None
    at = {"strides": (2,), "pads": (1, 0), "group": 2}
    y = op(name)(x, w, **at)
    g = tensor(rng, *y.shape)

    def slope(x: Tensor, w: Tensor) -> Tensor:
        gx, gw = grad(lambda x, w: (op(name)(x, w, **at) * op(name)(x, w, **at) * g).sum(), (0, 1))(x, w)
        return (gx * gx).sum() + (gw * gw).sum()

    check_gradient(slope, x, w, rtol=1e-4)


@pytest.mark.parametrize("auto_pad", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("size", [7, 8, 9, 10])
def test_output_shape_of_a_transposed_convolution(auto_pad: str, size: int) -> None:
    at = {"strides": (2,), "output_shape": (size,), "auto_pad": auto_pad}
    _agree(Case("ConvTranspose", ("float32[1, 2, 4]", "float32[2, 2, 3]"), at), gradient=True)


def test_no_samples() -> None:
    x, w = wrap(np.zeros((0, 2, 5, 5))), wrap(np.ones((3, 2, 3, 3)))
    assert op("Conv")(x, w).shape == (0, 3, 3, 3)
    assert op("MaxPool")(x, kernel_shape=(2, 2)).shape == (0, 2, 4, 4)
    y = op("Conv")(x, w.as_leaf())
    assert y.sum().numpy() == 0


def test_windows_in_numbers() -> None:
    """A stride that leaves a rest, a ceil_mode window that would begin in the padding, an odd SAME pad."""
    assert windows((6,), (3,), strides=(2,)).maps == (2,)
    assert windows((6,), (3,), strides=(2,), ceil_mode=1).maps == (3,)
    assert windows((5,), (2,), strides=(3,), pads=(1, 1), ceil_mode=1).maps == (2,)
    upper, lower = (windows((6,), (3,), strides=(2,), auto_pad=a) for a in ("SAME_UPPER", "SAME_LOWER"))
    assert (upper.before, upper.after, lower.before, lower.after) == ((0,), (1,), (1,), (0,))
    assert transposed_windows((4,), (3,), strides=(2,), pads=(1, 0), output_padding=(1,)).image == (9,)


# -- pooling -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("at", [{"strides": (2, 2)}, {"strides": (1, 1)}, {"strides": (2, 2), "pads": (1, 1, 1, 1)}])
def test_maximum_of_equal_elements(at: dict[str, Any]) -> None:
    """max(b, b, b, b) moves by 1 when b does: ties share the gradient, and pads get none of it."""
    image = wrap(np.zeros((1, 1, 4, 4))).as_leaf()
    y = op("MaxPool")(image, kernel_shape=(2, 2), **at)
    y.sum().backward()
    assert image.grad is not None
    np.testing.assert_allclose(image.grad.sum().numpy(), y.numpy().size)
    assert image.grad.numpy().min() > 0


def test_maximum_of_infinities() -> None:
    x = np.array([[[-np.inf, -np.inf, 1.0, 2.0]]], np.float32)
    leaf = wrap(x).as_leaf()
    y = op("MaxPool")(leaf, kernel_shape=(2,), strides=(1,))
    y.sum().backward()
    assert leaf.grad is not None
    np.testing.assert_array_equal(y.numpy()[0, 0, 1:], [1, 2])
    np.testing.assert_array_equal(leaf.grad.numpy()[0, 0, 2:], [1, 1])
    assert np.isfinite(leaf.grad.numpy()).all()


def test_norm_of_a_window_of_zeros() -> None:
    x = wrap(np.array([[[0.0, 0.0, 3.0, 4.0]]])).as_leaf()
    y = op("LpPool")(x, kernel_shape=(2,), strides=(2,))
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[[0, 0, 0.6, 0.8]]])


def test_blocks_are_summed_alike_in_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    x = wrap(np.random.default_rng(3).standard_normal((2, 3, 4, 6)))
    by_product = block_sum(x, (2, 3)).numpy()
    monkeypatch.setattr("interchange.ops.resize._NARROW", 0)
    np.testing.assert_allclose(block_sum(x, (2, 3)).numpy(), by_product)
    np.testing.assert_allclose(by_product, x.numpy().reshape(2, 3, 2, 2, 2, 3).sum((3, 5)))
    np.testing.assert_array_equal(upsample(x, (2, 3)).numpy(), x.numpy().repeat(2, 2).repeat(3, 3))


# -- normalisation -----------------------------------------------------------------------------------------------------
def _reference(name: str, arrays: Sequence[Array], outputs: int, opset: int, **attributes: Any) -> list[Array]:
    """onnx's own evaluator."""
    names = [f"x{i}" for i in range(len(arrays))]
    results = [f"y{i}" for i in range(outputs)]
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(names, arrays, strict=True)
    ]
    outs = [helper.make_tensor_value_info(r, 1, None) for r in results]
    graph = helper.make_graph([helper.make_node(name, names, results, **attributes)], "g", infos, outs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return ReferenceEvaluator(model).run(None, dict(zip(names, arrays, strict=True)))  # type: ignore[return-value]


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 4, 2)])
def test_batch_normalisation_in_training(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(4)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in (shape, 3, 3, 3)] + [np.ones(3, np.float32)]
    at = {"training_mode": 1, "momentum": 0.7, "epsilon": 1e-3}
    found = op("BatchNormalization")(*map(wrap, arrays), **at, outputs=3)
    for a, b in zip(found, _reference("BatchNormalization", arrays, 3, 15, **at), strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-4, atol=1e-5)
    exact = [wrap(a.astype(np.float64)) for a in arrays]
    for index in range(3):
        check(lambda *xs, index=index: op("BatchNormalization")(*xs, **at, outputs=3)[index], *exact)
    check(lambda *xs: normalize_batch(*xs, 1e-3)[0], *exact[:3])


def test_batch_normalisation_in_training_is_traced_without_its_training_mode() -> None:
    """ONNX Runtime's training_mode writes into its inputs (onnxruntime issue 29790)."""

    def step(x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, var: Tensor) -> Sequence[Tensor]:
        x = x.as_leaf()
        found = op("BatchNormalization")(x, scale, shift, mean, var, training_mode=1, outputs=3)
        (found[0] * found[0] * found[0]).sum().backward()
        assert x.grad is not None
        return *(t.detach() for t in found), x.grad

    trace, _ = traced(step, "float32[batch, 3, 4]", *[f"{n}: float32[3]" for n in ("s", "b", "m", "v")])
    normalised = [n for n in trace.graph.nodes if n.op_type == "BatchNormalization"]
    assert len(normalised) == 1
    assert "training_mode" not in normalised[0].attributes
    rng = np.random.default_rng(6)
    for batch in (1, 5):
        arrays = [
            rng.standard_normal((batch, 3, 4)).astype(np.float32),
            *rng.uniform(0.5, 1, (4, 3)).astype(np.float32),
        ]
        for a, b in zip(run(trace, *arrays), step(*map(wrap, arrays)), strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-4)


def test_layer_normalisation_gives_and_uses_its_statistics() -> None:
    """The gradient with Mean and InvStdDev at hand is the one without, and both can themselves be differentiated."""
    rng = np.random.default_rng(7)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in ((4, 6), 6, 6)]

    def slopes(outputs: int) -> list[Array]:
        leaves = [wrap(a).as_leaf() for a in arrays]
        found = op("LayerNormalization")(*leaves, outputs=outputs)
        y = found[0] if outputs > 1 else found
        (y * y * y).sum().backward()
        return [leaf.grad.numpy() for leaf in leaves if leaf.grad is not None]

    for a, b in zip(slopes(1), slopes(3), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    x = wrap(arrays[0]).as_leaf()
    _, mean, inverse = op("LayerNormalization")(x, np.ones(6, np.float32), outputs=3)
    (mean.sum() * 2.0 + (inverse * inverse).sum()).backward()
    centred = arrays[0] - arrays[0].mean(1, keepdims=True)
    variance = (centred**2).mean(1, keepdims=True) + 1e-5
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 2 / 6 - 2 * centred / 6 / variance**2, rtol=1e-3, atol=1e-4)


def test_second_derivative_of_layer_normalisation() -> None:
    rng = np.random.default_rng(8)
    g = tensor(rng, 3, 5)

    def slope(x: Tensor, scale: Tensor) -> Tensor:
        inner = grad(lambda x: (op("LayerNormalization")(x, scale) * g).sum())(x)
        return inner * inner

    check(slope, tensor(rng, 3, 5), tensor(rng, 5))


def test_norms_of_nothing() -> None:
    x = wrap(np.array([[0.0, 0.0], [3.0, 4.0]])).as_leaf()
    y = op("LpNormalization")(x)
    np.testing.assert_allclose(y.numpy(), [[0, 0], [0.6, 0.8]])
    y.sum().backward()
    assert x.grad is not None
    assert (x.grad.numpy()[0] == 0).all()


# -- dropout -----------------------------------------------------------------------------------------------------------
def test_dropout() -> None:
    x = wrap(np.ones((100, 100), np.float32)).as_leaf()
    y, mask = op("Dropout")(x, 0.3, True, seed=3, outputs=2)
    assert abs(mask.numpy().mean() - 0.7) < 0.02
    np.testing.assert_allclose(y.numpy(), mask.numpy() / np.float32(0.7), rtol=1e-6)
    alone = op("Dropout")(x, 0.3, True, seed=3)
    np.testing.assert_array_equal(alone.numpy(), y.numpy())  # the seed decides
    alone.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), y.numpy(), rtol=1e-6)
    assert (op("Dropout")(x, 0.3, True).numpy() != op("Dropout")(x, 0.3, True).numpy()).any()
    np.testing.assert_array_equal(op("Dropout")(x, 0.3).numpy(), x.numpy())


def test_dropout_in_a_trace_needs_its_mask_for_a_gradient() -> None:
    def f(x: Tensor) -> Tensor:
        x = x.as_leaf()
        op("Dropout")(x, 0.5, True).sum().backward()
        return x

    with pytest.raises(OperatorError, match="needs the mask"):
        traced(f, "float32[3]")


# -- refusals ----------------------------------------------------------------------------------------------------------
Z = np.zeros
REFUSED: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("Conv", [Z((1, 2, 5, 5)), Z((3, 3, 2, 2))], {}, "channels"),
    ("Conv", [Z((1, 2, 5, 5)), Z((3, 2, 2))], {}, "axes"),
    ("Conv", [Z((1, 2, 5, 5)), Z((3, 1, 2, 2))], {"group": 2}, "multiple"),
    ("Conv", [Z((1, 2, 5, 5)), Z((3, 2, 2, 2)), Z(4)], {}, "size of B"),
    ("Conv", [Z((1, 2, 5, 5)), Z((3, 2, 6, 2))], {}, "must fit"),
    ("Conv", [Z((1, 2, 5, 5)), Z((3, 2, 2, 2))], {"strides": (1,)}, "strides"),
    ("Conv", [Z((1, 2, 5, 5)), Z((3, 2, 2, 2))], {"kernel_shape": (2, 3)}, "kernel_shape"),
    ("Conv", [Z((1, 2, 5, 5)), Z((3, 2, 2, 2))], {"auto_pad": "SAME_UPPER", "dilations": (2, 2)}, "dilations"),
    ("ConvTranspose", [Z((1, 2, 5)), Z((3, 2, 2))], {}, "channels"),
    ("ConvTranspose", [Z((1, 2, 5)), Z((2, 2, 2))], {"strides": (2,), "output_padding": (2,)}, "output_padding"),
    ("ConvTranspose", [Z((1, 2, 5)), Z((2, 2, 2))], {"output_shape": (20,)}, "asked for"),
    ("MaxPool", [Z((1, 5))], {"kernel_shape": (2,)}, "axes"),
    ("MaxPool", [Z((1, 1, 5))], {"kernel_shape": (2,), "pads": (2, 0)}, "as wide as the kernel"),
    ("MaxPool", [Z((1, 1, 4), np.float32)], {"kernel_shape": (3,), "strides": (3,), "dilations": (2,)}, "must fit"),
    ("AveragePool", [Z((1, 1, 5, 5))], {"kernel_shape": (2,)}, "kernel"),
    ("Resize", [Z((1, 1, 4)), None, None], {}, "neither"),
    ("Resize", [Z((1, 1, 4)), None, constant([1, 1])], {}, "number of scales"),
    ("Resize", [Z((1, 1, 4)), None, constant([1, 1, 0])], {}, "above 0"),
    ("Pad", [Z((2, 3)), ints(1, 1)], {}, "twice"),
    ("Pad", [Z((2, 3)), ints(2, 0, 0, 0)], {"mode": "reflect"}, "reflection"),
    ("Pad", [Z((2, 3)), ints(-3, 0, 0, 0)], {}, "after padding"),
    ("Col2Im", [Z((1, 8, 5)), ints(3, 4), ints(2, 2)], {}, "places"),
    ("DepthToSpace", [Z((1, 3, 2, 2))], {"blocksize": 2}, "multiple"),
    ("SpaceToDepth", [Z((1, 3, 2, 3))], {"blocksize": 2}, "multiple"),
    ("BatchNormalization", [Z((1, 3, 2)), Z(2), Z(3), Z(3), Z(3)], {}, "scale"),
    ("BatchNormalization", [Z((1, 3, 2)), *[Z(3)] * 4], {"outputs": 3}, "training_mode=1"),
    ("LayerNormalization", [Z((2, 3)), Z((2, 2, 3))], {}, "Scale"),
    ("GroupNormalization", [Z((1, 4, 2)), Z(4), Z(4)], {"num_groups": 3}, "multiple"),
    ("InstanceNormalization", [Z((1, 4, 2)), Z(4), Z(1)], {}, "B"),
    ("MeanVarianceNormalization", [Z((1, 4, 2))], {"axes": (3,)}, "axis 3"),
    ("Dropout", [Z((2, 3)), np.array(1.5), np.array(True)], {}, "ratio"),
]


@pytest.mark.parametrize(("name", "arrays", "attributes", "says"), REFUSED)
def test_refuses(name: str, arrays: list[Any], attributes: dict[str, Any], says: str) -> None:
    with pytest.raises(OperatorError, match=says) as caught:
        op(name)(*(None if a is None else wrap(a) for a in arrays), **attributes)
    assert caught.value.code == "IX112"
    assert caught.value.where is not None
    assert "test_ops_nn.py" in caught.value.where
    assert caught.value.found


def test_a_scale_that_rounds_is_refused_for_a_symbolic_size() -> None:
    with pytest.raises(OperatorError, match="rounded differently"):
        traced(lambda x: op("Resize")(x, None, constant([1, 1, 1.7])), "float32[1, 1, n]")


def test_a_kernel_that_may_not_fit_is_guarded() -> None:
    trace, (y,) = traced(lambda x: op("MaxPool")(x, kernel_shape=(3,), strides=(2,)), "float32[1, 1, n]")
    assert [str(g.condition) for g in trace.guards] == ["n >= 3"]
    assert [str(d) for d in y.shape] == ["1", "1", "((n + 1)//2) - 1"]
