"""Layers whose parameters have to fit: normalizations, recurrent layers, attention, quantization."""

from __future__ import annotations

import math

from interchange.checker.looks.indexing import no_axis
from interchange.checker.looks.seen import Dims, Looked, Seen, broadcasts, differ, known, looks_at


def _misfit(s: Seen, at: int, message: str, expected: str, *with_: int) -> Looked:
    yield (
        "sizes",
        s.problem(
            message,
            at=at,
            found=s.shown(*sorted({0, at, *with_})),
            expected=expected,
            fix=f"correct {s.name(at)!r}, or what it is used with",
        ),
    )


def _text(dims: Dims) -> str:
    return f"[{', '.join('?' if d is None else str(d) for d in dims)}]"


# -- normalizations ---------------------------------------------------------------------------------------------------
@looks_at("LayerNormalization", "RMSNormalization")
def layer_norm(s: Seen) -> Looked:
    """The axis, and the scale and bias against the axes that are normalized."""
    x, axis = s.dims(0), s.integer("axis", -1)
    if x is None:
        return
    if not -len(x) <= axis < len(x):
        yield "sizes", no_axis(s, axis, len(x))
        return
    for at in (1, 2):
        given = s.dims(at)
        if given is not None and not broadcasts(given, x):
            yield from _misfit(s, at, f"{s.name(at)!r} does not fit the axes from {axis}", _text(x[axis % len(x) :]))


@looks_at("InstanceNormalization")
def instance_norm(s: Seen) -> Looked:
    """One scale and bias for each channel."""
    x = s.dims(0)
    for at in (1, 2):
        given = s.dims(at)
        if x is not None and len(x) > 1 and given and differ(given[0], x[1]):
            yield from _misfit(s, at, f"{s.name(at)!r} has {given[0]} values for {x[1]} channels", f"[{x[1]}]")


@looks_at("GroupNormalization")
def group_norm(s: Seen) -> Looked:
    """Groups that divide the channels; a scale and bias for each channel (before opset 21: group)."""
    x, groups = s.dims(0), s.integer("num_groups", 1)
    if x is not None and len(x) < 2:
        yield from _misfit(s, 0, f"{s.name(0)!r} has no channels: it has {len(x)} axes", "axes [batch, channels, ...]")
    if x is None or len(x) < 2 or x[1] is None or groups < 1:
        return
    if x[1] % groups:
        yield from _misfit(
            s, 0, f"{x[1]} channels do not divide into num_groups={groups}", f"a multiple of {groups} at axis 1"
        )
    each = x[1] if s.opset >= 21 else groups
    for at in (1, 2):
        given = s.dims(at)
        if given is not None and (len(given) != 1 or differ(given[0], each)):
            yield from _misfit(s, at, f"{s.name(at)!r} is not a vector of {each} values", f"[{each}]")


@looks_at("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
def loss(s: Seen) -> Looked:
    """Labels have the axes of the scores but that of the classes; one weight for each class."""
    scores, labels, weights = s.dims(0), s.dims(1), s.dims(2)
    if scores is not None and len(scores) < 2:
        yield from _misfit(s, 0, f"{s.name(0)!r} has {len(scores)} axes", "axes [batch, classes, ...]")
    if scores is None or len(scores) < 2:
        return
    expected = [scores[0], *scores[2:]]
    if labels is not None and (len(labels) != len(expected) or any(map(differ, labels, expected))):
        yield from _misfit(s, 1, f"the labels {s.name(1)!r} do not fit the scores", f"{s.name(1)}{_text(expected)}")
    if weights is not None and len(weights) != 1:
        yield from _misfit(s, 2, f"the weights {s.name(2)!r} are no vector", f"{s.name(2)}[{scores[1] or '?'}]")
    elif weights and differ(weights[0], scores[1]):
        yield from _misfit(s, 2, f"{weights[0]} weights for {scores[1]} classes", f"{s.name(2)}[{scores[1]}]")


@looks_at("PRelu")
def slope(s: Seen) -> Looked:
    """The slope is stretched to the input."""
    x, given = s.dims(0), s.dims(1)
    if s.opset >= 7 and x is not None and given is not None and not broadcasts(given, x):
        yield from _misfit(
            s, 1, f"the slope {s.name(1)!r} does not fit {s.name(0)!r}", f"what broadcasts to {_text(x)}"
        )


@looks_at("Gemm")
def gemm(s: Seen) -> Looked:
    """The bias is stretched to the product."""
    a, b, bias = s.dims(0), s.dims(1), s.dims(2)
    if a is None or b is None or bias is None or len(a) != 2 or len(b) != 2 or s.opset < 7:
        return
    product = [a[1] if s.integer("transA", 0) else a[0], b[0] if s.integer("transB", 0) else b[1]]
    if not broadcasts(bias, product):
        yield from _misfit(
            s, 2, f"the bias {s.name(2)!r} does not fit the product", f"what broadcasts to {_text(product)}", 1
        )


# -- recurrent layers -------------------------------------------------------------------------------------------------
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_FUNCTIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}


@looks_at("RNN", "GRU", "LSTM")
def recurrent(s: Seen) -> Looked:
    """W: [directions, gates * hidden, features], R: [directions, gates * hidden, hidden], B: [directions, 2 * ...]."""
    x, r, op = s.dims(0), s.dims(2), s.proto.op_type
    directions = 2 if s.text("direction", "forward") == "bidirectional" else 1
    hidden = s.integer("hidden_size", 0) or (r[2] if r is not None and len(r) == 3 else None)
    rows = None if hidden is None else _GATES[op] * hidden
    features = x[2] if x is not None and len(x) == 3 else None
    bias = None if rows is None else 2 * rows
    shapes: tuple[Dims, ...] = ([directions, rows, features], [directions, rows, hidden], [directions, bias])
    for at, expected in enumerate(shapes, 1):
        given = s.dims(at)
        if given is not None and (len(given) != len(expected) or any(map(differ, given, expected))):
            size = f"hidden_size {hidden}, {_GATES[op]} gates, {directions} directions"
            yield from _misfit(s, at, f"{s.name(at)!r} does not fit ({size})", f"{s.name(at)}{_text(expected)}")
            return
    if x is not None and len(x) == 3 and not s.integer("layout", 0):
        states = [directions, x[1], hidden]
        for at, expected in ((4, [x[1]]), (5, states), (6, states)):
            given = s.dims(at)
            if given is not None and (len(given) != len(expected) or any(map(differ, given, expected))):
                yield from _misfit(s, at, f"{s.name(at)!r} does not fit", f"{s.name(at)}{_text(expected)}")
                return
    count = len(s.attributes["activations"].strings) if "activations" in s.attributes else None
    if count is not None and count != directions * _FUNCTIONS[op]:
        yield (
            "sizes",
            s.problem(
                f"{count} activations, where {op} takes {_FUNCTIONS[op]} for each direction",
                found=f"{count} activations, {directions} directions",
                expected=f"{directions * _FUNCTIONS[op]} activations",
                fix="give all of them, or none for the defaults",
            ),
        )


@looks_at("Attention")
def attention(s: Seen) -> Looked:
    """Heads and their sizes, where they stand in axes of their own: [batch, heads, length, size]."""
    q, k, v = s.dims(0), s.dims(1), s.dims(2)
    if q is None or k is None or v is None or not len(q) == len(k) == len(v) == 4:
        return
    if differ(q[0], k[0]) or differ(q[0], v[0]):
        yield from _misfit(s, 0, "queries, keys and values of other batches", "one size of axis 0", 1, 2)
    elif differ(q[3], k[3]):
        yield from _misfit(s, 1, f"heads of size {q[3]} against {k[3]}", "queries and keys of one head size")
    elif differ(k[2], v[2]):
        yield from _misfit(s, 2, f"{k[2]} keys for {v[2]} values", "as many values as keys", 1)
    elif q[1] is not None and k[1] and q[1] % k[1]:
        yield from _misfit(s, 1, f"{q[1]} heads do not divide into {k[1]}", f"a multiple of {k[1]} heads of queries")
    else:
        yield from _mask(s, q, k)


def _mask(s: Seen, q: Dims, k: Dims) -> Looked:
    """A mask is stretched to the scores; from opset 24 on its last axis may be shorter, and is padded."""
    mask, past = s.dims(3), s.dims(4)
    before = 0 if not s.name(4) else past[2] if past is not None and len(past) == 4 else None
    keys = k[2] + before if k[2] is not None and before is not None else None
    scores = [q[0], q[1], q[2], keys]
    if s.opset >= 24 and mask and mask[-1] is not None and keys is not None and mask[-1] < keys:
        scores[3] = None
    if mask is not None and not broadcasts(mask, scores):
        yield from _misfit(
            s, 3, f"the mask {s.name(3)!r} does not fit the scores", f"what broadcasts to {_text(scores)}"
        )


# -- blocks and scales ------------------------------------------------------------------------------------------------
@looks_at("DepthToSpace")
def depth_to_space(s: Seen) -> Looked:
    """Channels divide into squares of the block."""
    x, block = s.dims(0), s.integer("blocksize", 1)
    if x is not None and len(x) == 4 and x[1] is not None and block > 0 and x[1] % (block * block):
        yield from _misfit(
            s, 0, f"{x[1]} channels do not divide into blocks of {block} x {block}", f"a multiple of {block * block}"
        )


@looks_at("SpaceToDepth")
def space_to_depth(s: Seen) -> Looked:
    """Rows and columns divide into blocks."""
    x, block = s.dims(0), s.integer("blocksize", 1)
    if x is None or len(x) != 4 or block <= 0:
        return
    bad = [size for size in x[2:] if size is not None and size % block]
    if bad:
        yield from _misfit(
            s, 0, f"{bad[0]} does not divide into blocks of {block}", f"multiples of {block} at axes 2 and 3"
        )


@looks_at("QuantizeLinear", "DequantizeLinear")
def scales(s: Seen) -> Looked:
    """One scale for each slice of the axis; none that is 0."""
    x, scale, axis, values = s.dims(0), s.dims(1), s.integer("axis", 1), s.array(1)
    slices = x[axis] if x is not None and s.opset >= 13 and -len(x) <= axis < len(x) else None
    per_axis = scale is not None and len(scale) == 1 and not s.integer("block_size", 0)
    if scale is not None and per_axis and scale[0] != 1 and differ(scale[0], slices):
        yield from _misfit(s, 1, f"{scale[0]} scales for {slices} slices of axis {axis}", f"{s.name(1)}[{slices}]")
    zero = s.dims(2)
    one, other = ([d for d in dims or () if d != 1] for dims in (scale, zero))  # one value may be [] or [1]
    if scale is not None and zero is not None and (len(one) != len(other) or any(map(differ, one, other))):
        yield from _misfit(s, 2, "scale and zero point differ in shape", f"{s.name(2)}{_text(scale)}", 1)
    if values is not None and values.size and not values.astype("float64").all():
        yield (
            "nan",
            s.problem(
                f"the scale {s.name(1)!r} is 0",
                at=1,
                found="a scale of 0",
                expected="scales above 0",
                why="dividing by it gives no number, and multiplying nothing but 0",
                fix="quantize the model again: the range that was observed was empty",
                severity="warning",
            ),
        )


@looks_at("If")
def condition(s: Seen) -> Looked:
    """A condition is one element."""
    dims, value = s.dims(0), s.array(0)
    if value is not None and value.size == 1:
        yield (
            "dead branch",
            s.problem(
                f"the condition {s.name(0)!r} is always {'true' if value.item() else 'false'}",
                found=f"a constant, {bool(value.item())}",
                expected="a condition that is computed, or no If",
                why="the other branch never runs: it makes the file larger, and hides what it holds",
                fix="put the nodes of the branch that runs in the place of the If",
                severity="note",
            ),
        )
    if dims is not None and known(*dims) and math.prod(d for d in dims if d is not None) != 1:
        yield from _misfit(s, 0, f"the condition {s.name(0)!r} is not one element", "bool[] or bool[1]")
