"""Convolutions and pooling: channels, groups, and windows that fit nowhere."""

from __future__ import annotations

from interchange.checker.looks.seen import Dims, Looked, Seen, differ, looks_at


@looks_at("Conv", "ConvTranspose")
def channels(s: Seen) -> Looked:
    """Input channels against the weight's, groups, and the bias."""
    x, w, bias = s.dims(0), s.dims(1), s.dims(2)
    group, transposed = s.integer("group", 1), s.proto.op_type == "ConvTranspose"
    if x is None or w is None or len(x) < 3 or len(w) < 3 or group < 1:
        return
    both = f"{s.shown(0, 1)}; group={group}"
    first, second = w[0], w[1]
    takes = first if transposed else None if second is None else second * group
    if differ(x[1], takes):
        means = f"{first}" if transposed else f"{second} x group {group}"
        yield (
            "conv",
            s.problem(
                f"the input has {x[1]} channels, the weight takes {takes} ({means})",
                found=both,
                expected=f"{takes} channels at axis 1 of {s.name(0)}",
                fix="make the weight's channels times group the input's, or the reverse (NHWC data needs a Transpose)",
            ),
        )
    outputs = first if not transposed else None if second is None else second * group
    divided = x[1] if transposed else first
    if divided is not None and divided % group:
        yield (
            "conv",
            s.problem(
                f"{divided} channels do not divide into {group} groups",
                at=1,
                found=both,
                expected=f"a multiple of {group}",
                fix="correct group or the weight",
            ),
        )
    if bias and len(bias) == 1 and differ(bias[0], outputs):
        yield (
            "conv",
            s.problem(
                f"the bias has {bias[0]} values, the weight makes {outputs} channels",
                at=2,
                found=f"{both}; {s.shown(2)}",
                expected=f"{s.name(2)}[{outputs}]",
                fix="correct the bias",
            ),
        )


@looks_at("Conv", "ConvTranspose")
def declared_kernel(s: Seen) -> Looked:
    """kernel_shape against the weight."""
    w, kernel = s.dims(1), s.integers("kernel_shape")
    if w is not None and kernel and len(w) == len(kernel) + 2 and any(map(differ, w[2:], kernel)):
        yield (
            "conv",
            s.problem(
                f"kernel_shape is {kernel}, the weight has {w[2:]}",
                at=1,
                found=f"kernel_shape={kernel}; {s.shown(1)}",
                expected=f"kernel_shape={w[2:]}, or none",
                fix="leave kernel_shape out: the weight says it",
            ),
        )


def _windows(s: Seen, kernel: Dims) -> tuple[list[int | None], list[int]] | None:
    """(spans of the window, pads of both sides together) by spatial axis; None where auto_pad computes the pads."""
    rank = len(kernel)
    dilations = s.integers("dilations") or [1] * rank
    pads = s.integers("pads") or [0] * (2 * rank)
    if s.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or (len(dilations), len(pads)) != (rank, 2 * rank):
        return None
    spans = [None if k is None else (k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    return spans, [pads[i] + pads[i + rank] for i in range(rank)]


@looks_at("Conv", "AveragePool", "LpPool", "MaxPool")
def too_large(s: Seen) -> Looked:
    """A window that does not fit into its padded input."""
    x, w = s.dims(0), s.dims(1)
    convolves = s.proto.op_type == "Conv"
    kernel: Dims = list(w[2:]) if convolves and w is not None else list(s.integers("kernel_shape"))
    windows = _windows(s, kernel)
    if x is None or windows is None or len(x) != len(kernel) + 2:
        return
    for axis, (size, span, pad) in enumerate(zip(x[2:], *windows, strict=True)):
        if size is not None and span is not None and span > size + pad:
            yield (
                "conv" if convolves else "sizes",
                s.problem(
                    f"the window spans {span} at spatial axis {axis}, which is larger than the input with its pads",
                    found=f"{s.shown(0)}; a window of {span}, {pad} of pads",
                    expected=f"at most {size + pad}",
                    why="the runtime fails in every run" if convolves else "the result has no elements",
                    fix="make the window smaller, or add pads",
                    severity=None if convolves else "warning",
                ),
            )
            return


@looks_at("AveragePool", "LpPool", "MaxPool")
def all_padding(s: Seen) -> Looked:
    """A window that lies wholly in the padding."""
    kernel, pads = s.integers("kernel_shape"), s.integers("pads")
    rank = len(kernel)
    spans = [k * d for k, d in zip(kernel, s.integers("dilations") or [1] * rank, strict=False)]
    if len(pads) == 2 * rank == 2 * len(spans):
        bad = [i for i, pad in enumerate(pads) if pad >= spans[i % rank]]
        if bad:
            yield (
                "sizes",
                s.problem(
                    f"pads of {pads[bad[0]]} hide a whole window of {spans[bad[0] % rank]}",
                    found=f"pads={pads}; kernel_shape={kernel}",
                    expected="pads smaller than the window",
                    why="what the result of no elements is remains open: ONNX Runtime refuses the model",
                    fix="make the pads smaller than kernel_shape",
                ),
            )
