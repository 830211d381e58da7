"""Valid models that the runtime they are meant for does not load."""

from __future__ import annotations

from typing import Any

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
kind("Conv of float64", "IX584", "Conv", "no kernel: legal ONNX that ONNX Runtime refuses", target=NEWEST)(
    text("y = Conv(x, w)", "double[1, 2, 8, 8] x, double[4, 2, 3, 3] w", "double[1, 4, 6, 6] y", opsets='"": 17', ir=8)
)
kind("MatMul of bfloat16", "IX584", "MatMul", "no kernel: legal ONNX that ONNX Runtime refuses", target=NEWEST)(
    text("y = MatMul(x, w)", "bfloat16[2, 3] x, bfloat16[3, 4] w", "bfloat16[2, 4] y", opsets='"": 17', ir=8)
)
kind("Resize of int16", "IX584", "Resize", "no kernel: legal ONNX that ONNX Runtime refuses", target=NEWEST)(
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
    "IX583",
    "DequantizeLinear",
    "the kernels end before this opset",
    target="onnxruntime==1.32",
)(text("y = DequantizeLinear(x, s)", "uint8[2, 3] x", constants="float s = {1}", opsets='"": 28', ir=13))
kind("a custom domain for a stock runtime", "IX543", "my::Foo", "no stock runtime knows the operator", target=NEWEST)(
    text("y = my.Foo(x)", opsets='"": 17, "my": 1', ir=8)
)
kind(
    "an operator of com.microsoft newer than the runtime",
    "IX582",
    "GatedAdd",
    "older releases do not have the operator",
    target="onnxruntime==1.18",
)(
    text(
        "y = com.microsoft.GatedAdd(x, z, g)",
        "float[2, 3] x, float[2, 3] z, float[2, 3] g",
        opsets='"": 21, "com.microsoft": 1',
    )
)
kind(
    "an attribute that the runtime's kernel refuses",
    "IX585",
    "layout",
    "the kernel has layout 0 alone",
    target="onnxruntime>=1.18",
)(
    text(
        "y = RNN <hidden_size = 4, layout = 1> (x, w, r)",
        "float[2, 5, 3] x, float[1, 4, 3] w, float[1, 4, 4] r",
        "float[2, 5, 1, 4] y",
    )
)
kind(
    "a form of an operator that the runtime does not know",
    "IX586",
    "left_window_size",
    "the attribute came with opset 25, the runtime's kernel is older",
    target="onnxruntime>=1.24,<1.32",
)(
    text(
        "y = Attention <left_window_size = 1> (q, k, v)",
        "float[1, 2, 4, 8] q, float[1, 2, 4, 8] k, float[1, 2, 4, 8] v",
        "float[1, 2, 4, 8] y",
        opsets='"": 25',
    )
)


# -- attributes that are right by the format, and that no release takes ------------------------------------------------
def refused(title: str, mentions: str, wrong: str, body: str, inputs: str, **kw: Any) -> None:
    made = text(body, inputs, kw.pop("outputs", "float[k, l, m, n] y"), kw.pop("constants", ""), ir=8, **kw)
    kind(title, "IX585", mentions, wrong, target="onnxruntime>=1.23")(made)


HALF = "float[4] s = {1, 1, 0.5, 0.5}"
refused(
    "a recurrent layer without hidden_size",
    "hidden_size",
    "the format lets it follow from the weights, the kernel asks for it",
    "y = LSTM (x, w, r)",
    "float[5, 1, 3] x, float[1, 16, 3] w, float[1, 16, 4] r",
)
refused(
    "saturate for what is no float8",
    "saturate",
    "the kernel takes it for float8 alone",
    "y = Cast <to = 10, saturate = 0> (x)",
    "float[2] x",
    outputs="float16[2] y",
    opsets='"": 19',
)
refused(
    "a regular expression that is left out",
    "pattern",
    "the format gives pattern no default, and does not ask for it",
    "y = RegexFullMatch (x)",
    "string[2] x",
    outputs="bool[2] y",
    opsets='"": 20',
)
refused(
    "antialias of the nearest pixel",
    "antialias",
    "there is nothing to smooth",
    'y = Resize <antialias = 1> (x, "", s)',
    "float[1, 1, 4, 4] x",
    constants=HALF,
    opsets='"": 18',
)
refused(
    "exclude_outside of a linear interpolation",
    "exclude_outside",
    "the kernel takes it for cubic ones, or with antialias",
    'y = Resize <mode = "linear", exclude_outside = 1> (x, "", s)',
    "float[1, 1, 4, 4] x",
    constants=HALF,
    opsets='"": 18',
)
refused(
    "a sequence reversed along its batch",
    "batch_axis",
    "both axes are 1",
    "y = ReverseSequence <batch_axis = 1, time_axis = 1> (x, l)",
    "float[2, 2] x, int64[2] l",
    outputs="float[2, 2] y",
    opsets='"": 17',
)
refused(
    "a local normalization over an even size",
    "even size",
    "there is no middle",
    "y = LRN <size = 2> (x)",
    "float[1, 3, 2, 2] x",
    opsets='"": 17',
)
refused(
    "grams longer than the pool",
    "ngram_counts",
    "grams of up to 3, and counts of 1 and 2",
    'y = TfIdfVectorizer <mode = "TF", min_gram_length = 1, max_gram_length = 3, max_skip_count = 0, '
    "ngram_counts = [0, 2], ngram_indexes = [0, 1, 2], pool_int64s = [5, 6, 7, 8, 9, 10]> (x)",
    "int64[4] x",
    outputs="float[3] y",
    opsets='"": 17',
)
refused(
    "a pool of no whole grams",
    "pool",
    "three numbers are no pairs",
    'y = TfIdfVectorizer <mode = "TF", min_gram_length = 1, max_gram_length = 2, max_skip_count = 0, '
    "ngram_counts = [0, 2], ngram_indexes = [0, 1, 2], pool_int64s = [5, 6, 7, 8, 9]> (x)",
    "int64[4] x",
    outputs="float[3] y",
    opsets='"": 17',
)
refused(
    "an attention of scale 0",
    "scale",
    "the kernel takes scales above 0",
    "y = Attention <scale = 0.0> (q, k, v)",
    "float[1, 2, 4, 8] q, float[1, 2, 4, 8] k, float[1, 2, 4, 8] v",
    opsets='"": 23',
)
