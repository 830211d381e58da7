"""Valid models that the runtime they are meant for does not load."""

from __future__ import annotations

from .building import text
from .kind import family

kind = family("deploy")
NEWEST = "onnxruntime"

kind(
    "an opset newer than the runtime's",
    "IX580",
    "opset 21",
    "onnxruntime 1.17 knows opset 20",
    target="onnxruntime==1.17",
)(text("y = Relu(x)", ir=8))
kind(
    "an IR version newer than the runtime's",
    "IX581",
    "IR version 10",
    "onnxruntime 1.17 knows IR version 9",
    target="onnxruntime==1.17",
)(text("y = Relu(x)", opsets='"": 17', ir=10))
kind("Conv of float64", "IX582", "Conv", "no kernel: legal ONNX that ONNX Runtime refuses", target=NEWEST)(
    text("y = Conv(x, w)", "double[1, 2, 8, 8] x, double[4, 2, 3, 3] w", "double[1, 4, 6, 6] y", opsets='"": 17', ir=8)
)
kind("MatMul of bfloat16", "IX582", "MatMul", "no kernel: legal ONNX that ONNX Runtime refuses", target=NEWEST)(
    text("y = MatMul(x, w)", "bfloat16[2, 3] x, bfloat16[3, 4] w", "bfloat16[2, 4] y", opsets='"": 17', ir=8)
)
kind("Resize of int16", "IX582", "Resize", "no kernel: legal ONNX that ONNX Runtime refuses", target=NEWEST)(
    text(
        'y = Resize(x, "", s)',
        "int16[1, 1, 2, 2] x",
        "int16[1, 1, 4, 4] y",
        "float[4] s = {1, 1, 2, 2}",
        opsets='"": 17',
        ir=8,
    )
)
kind(
    "DequantizeLinear of the newest opset",
    "IX582",
    "DequantizeLinear",
    "the kernels end before this opset",
    target="onnxruntime==1.32",
)(text("y = DequantizeLinear(x, s)", "uint8[2, 3] x", constants="float s = {1}", opsets='"": 28', ir=13))
kind("a custom domain for a stock runtime", "IX543", "my::Foo", "no stock runtime knows the operator", target=NEWEST)(
    text("y = my.Foo(x)", opsets='"": 17, "my": 1', ir=8)
)
