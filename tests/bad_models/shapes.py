"""Shapes that do not fit together, and constants that no shape takes."""

from __future__ import annotations

from .building import text
from .kind import family

kind = family("shapes")
BAD = "'bad_node'"
XW = "float[2, 3] x, float[{}] w"


def op(body: str, inputs: str = "float[2, 3] x", constants: str = "", outputs: str = "", **kw: str) -> object:
    """The maker of a model of one node; its output is declared with the rank of an image if an input has it."""
    image = any(part.count(",") == 3 for part in inputs.split("]"))
    outputs = outputs or ("float[a, b, c, d] y" if image else "float[m, n] y")
    return text(f"[bad_node] {body}", inputs, outputs, constants, **kw)


kind("MatMul inner sizes differ", "IX562", "w: float32[4, 5]", "3 columns against 4 rows")(
    op("y = MatMul(x, w)", XW.format("4, 5"))
)
kind("Gemm inner sizes differ", "IX562", BAD, "3 columns against 2 rows, once transB is counted")(
    op("y = Gemm <transB = 1> (x, w)", XW.format("3, 2"))
)
kind("Gemm bias that does not fit", "IX576", BAD, "a bias of 7 for 5 columns")(
    op("y = Gemm(x, w, b)", "float[2, 3] x, float[3, 5] w, float[7] b")
)
kind("Gemm of rank 3", "IX562", BAD, "Gemm takes matrices")(op("y = Gemm(x, x)", "float[2, 3, 3] x"))
kind("Add not broadcastable", "IX562", "x: float32[2, 3]", "3 columns against 4")(
    op("y = Add(x, w)", XW.format("2, 4"))
)
kind("Where not broadcastable", "IX562", BAD, "3 columns against 5")(
    op("y = Where(c, x, x)", "bool[2, 5] c, float[2, 3] x")
)
kind("Conv channels", "IX563", "x: float32[1, 3, 8, 8]", "the weight takes 2 channels")(
    op("y = Conv(x, w)", "float[1, 3, 8, 8] x, float[4, 2, 3, 3] w")
)
kind("Conv groups", "IX563", BAD, "5 channels do not divide into 2 groups")(
    op("y = Conv <group = 2> (x, w)", "float[1, 4, 8, 8] x, float[5, 2, 3, 3] w")
)
kind("Conv bias", "IX563", "'b'", "a bias of 3 for 4 channels")(
    op("y = Conv(x, w, b)", "float[1, 2, 8, 8] x, float[4, 2, 3, 3] w, float[3] b")
)
kind("Conv kernel larger than its input", "IX563", "larger", "no window of 9 fits into 8 without pads")(
    op("y = Conv(x, w)", "float[1, 2, 8, 8] x, float[4, 2, 9, 9] w")
)
kind("Conv weight of another rank", "IX562", BAD, "an image with a weight for sequences")(
    op("y = Conv(x, w)", "float[1, 2, 8, 8] x, float[4, 2, 3] w")
)
kind("ConvTranspose channels", "IX563", BAD, "the weight takes 3 channels, the input has 2")(
    op("y = ConvTranspose(x, w)", "float[1, 2, 8, 8] x, float[3, 4, 3, 3] w")
)
kind("a pooling window larger than its input", "IX576", BAD, "no window of 9 fits into 8 without pads")(
    op("y = MaxPool <kernel_shape = [9, 9]> (x)", "float[1, 2, 8, 8] x")
)
kind("BatchNormalization scale of another length", "IX562", BAD, "a scale of 2 for 3 channels")(
    op("y = BatchNormalization(x, s, s, s, s)", "float[1, 3, 4, 4] x, float[2] s")
)
kind("BatchNormalization in training mode with one output", "IX562", BAD, "training gives the running statistics too")(
    op("y = BatchNormalization <training_mode = 1> (x, s, s, s, s)", "float[1, 3, 4, 4] x, float[3] s")
)
kind("LayerNormalization scale of another length", "IX576", BAD, "a scale of 5 for 3 columns")(
    op("y = LayerNormalization(x, s)", "float[2, 3] x, float[5] s")
)
kind("InstanceNormalization scale of another length", "IX576", BAD, "a scale of 2 for 3 channels")(
    op("y = InstanceNormalization(x, s, s)", "float[1, 3, 4, 4] x, float[2] s")
)
kind("PRelu slope that does not fit", "IX576", BAD, "a slope of 2 for 3 columns")(
    op("y = PRelu(x, s)", "float[2, 3] x, float[2] s")
)
kind("Reshape to another number of elements", "IX564", BAD, "6 elements do not make 20")(
    op("y = Reshape(x, s)", constants="int64[2] s = {4, 5}")
)
kind("Reshape with two open sizes", "IX562", BAD, "-1 twice: what each is remains open")(
    op("y = Reshape(x, s)", constants="int64[2] s = {-1, -1}")
)
kind("Reshape to a negative size", "IX564", BAD, "-2 is no size")(
    op("y = Reshape(x, s)", constants="int64[2] s = {-2, 3}")
)
kind("Reshape that keeps an axis that is not there", "IX562", BAD, "0 keeps the size of axis 2 of two")(
    op("y = Reshape(x, s)", constants="int64[3] s = {2, 3, 0}")
)
kind("Reshape by a computed shape", "IX564", BAD, "6 elements do not make 7")(
    text("s = Shape(w) [bad_node] y = Reshape(x, s)", XW.format("7"), "float[m, n] y")
)
kind("Concat sizes differ", "IX562", BAD, "3 columns against 4")(op("y = Concat <axis = 0> (x, w)", XW.format("2, 4")))
kind("Concat of different ranks", "IX562", BAD, "a matrix and a vector")(
    op("y = Concat <axis = 0> (x, w)", XW.format("3"))
)
kind("Squeeze of a size that is not 1", "IX562", BAD, "axis 0 has 2")(
    op("y = Squeeze(x, a)", constants="int64[1] a = {0}")
)
kind("Squeeze of an axis that is not there", "IX562", BAD, "x has two axes")(
    op("y = Squeeze(x, a)", constants="int64[1] a = {5}")
)
kind("Unsqueeze of an axis that is not there", "IX562", BAD, "the result has three axes")(
    op("y = Unsqueeze(x, a)", constants="int64[1] a = {7}")
)
kind("Unsqueeze of one axis twice", "IX562", BAD, "axis 0 twice")(
    op("y = Unsqueeze(x, a)", constants="int64[2] a = {0, 0}")
)
kind("constant Gather index out of range", "IX565", "9", "x has two rows")(
    op("y = Gather(x, i)", constants="int64[1] i = {9}")
)
kind("constant GatherElements index out of range", "IX565", "9", "x has two rows")(
    op("y = GatherElements(x, i)", constants="int64[1, 3] i = {0, 1, 9}")
)
kind("constant GatherND index out of range", "IX565", "9", "x has three columns")(
    op("y = GatherND(x, i)", constants="int64[1, 2] i = {0, 9}")
)
kind("GatherND with an index that is too long", "IX562", BAD, "three numbers for two axes")(
    op("y = GatherND(x, i)", constants="int64[1, 3] i = {0, 0, 0}")
)
kind("constant ScatterElements index out of range", "IX565", "9", "x has two rows")(
    op("y = ScatterElements(x, i, u)", "float[2, 3] x, float[1, 3] u", "int64[1, 3] i = {0, 1, 9}")
)
kind("constant ScatterND index out of range", "IX565", "9", "x has two rows")(
    op("y = ScatterND(x, i, u)", "float[2, 3] x, float[1, 3] u", "int64[1, 1] i = {9}")
)
kind("ScatterND updates of another shape", "IX576", "updates", "a row has three columns, not five")(
    op("y = ScatterND(x, i, u)", "float[2, 3] x, float[1, 5] u", "int64[1, 1] i = {1}")
)
kind("Slice with starts and ends of different lengths", "IX562", BAD, "one start, two ends")(
    op("y = Slice(x, s, e)", constants="int64[1] s = {0}, int64[2] e = {1, 1}")
)
kind("Slice with a step of 0", "IX562", BAD, "a step of 0 never ends")(
    op("y = Slice(x, s, e, a, t)", constants="int64[1] s = {0}, int64[1] e = {1}, int64[1] a = {0}, int64[1] t = {0}")
)
kind("Slice of an axis that is not there", "IX562", BAD, "x has two axes")(
    op("y = Slice(x, s, e, a)", constants="int64[1] s = {0}, int64[1] e = {1}, int64[1] a = {6}")
)
kind("Slice of one axis twice", "IX562", BAD, "axis 0 twice: readers differ")(
    op("y = Slice(x, s, e, a)", constants="int64[2] s = {0, 0}, int64[2] e = {1, 1}, int64[2] a = {0, 0}")
)
kind("Slice that leaves nothing", "IX578", BAD, "from 2 to 1 is nothing: start and end were exchanged")(
    op("y = Slice(x, s, e, a)", constants="int64[1] s = {2}, int64[1] e = {1}, int64[1] a = {1}")
)
kind("Split sizes that do not add up", "IX562", BAD, "1 and 1 of 3 columns")(
    op("y, z = Split <axis = 1> (x, s)", constants="int64[2] s = {1, 1}", outputs="float[m, n] y, float[m, o] z")
)
kind("Split with a negative size", "IX576", BAD, "-1 and 4 of 3 columns")(
    op("y, z = Split <axis = 1> (x, s)", constants="int64[2] s = {-1, 4}", outputs="float[m, n] y, float[m, o] z")
)
kind("Split sizes for another number of outputs", "IX562", BAD, "three sizes, two outputs")(
    op("y, z = Split <axis = 1> (x, s)", constants="int64[3] s = {1, 1, 1}", outputs="float[m, n] y, float[m, o] z")
)
kind("Split with sizes and num_outputs", "IX562", BAD, "the one contradicts the other")(
    op(
        "y, z = Split <axis = 1, num_outputs = 2> (x, s)",
        constants="int64[2] s = {1, 2}",
        outputs="float[m, n] y, float[m, o] z",
    )
)
kind("Pad of another length", "IX562", BAD, "two axes have four pads")(
    op("y = Pad(x, p)", constants="int64[3] p = {1, 1, 1}")
)
kind("Pad that removes more than there is", "IX576", BAD, "-9 of 3 columns")(
    op("y = Pad(x, p)", constants="int64[4] p = {0, -9, 0, 0}")
)
kind("reflecting more than there is", "IX576", BAD, "3 columns have no 5 to reflect")(
    op('y = Pad <mode = "reflect"> (x, p)', constants="int64[4] p = {0, 5, 0, 0}")
)
kind("Expand that does not broadcast", "IX562", BAD, "3 columns do not become 5")(
    op("y = Expand(x, s)", constants="int64[2] s = {2, 5}")
)
kind("Expand to a negative size", "IX562", BAD, "-1 is no size")(
    op("y = Expand(x, s)", constants="int64[2] s = {2, -1}")
)
kind("ConstantOfShape of a negative size", "IX562", BAD, "-4 is no size")(
    op("y = ConstantOfShape(s)", constants="int64[1] s = {-4}")
)
kind("Tile with a negative number", "IX562", BAD, "-1 times")(op("y = Tile(x, r)", constants="int64[2] r = {1, -1}"))
kind("Tile of another rank", "IX562", BAD, "two axes have two numbers")(
    op("y = Tile(x, r)", constants="int64[3] r = {1, 1, 2}")
)
kind("Range with a step of 0", "IX578", BAD, "a step of 0 never ends")(
    op("y = Range(a, b, d)", outputs="int64[n] y", constants="int64 a = {0}, int64 b = {9}, int64 d = {0}")
)
kind("TopK beyond the axis", "IX562", BAD, "three columns have no ten largest")(
    op("y, i = TopK(x, k)", constants="int64[1] k = {10}", outputs="float[m, n] y, int64[m, n] i")
)
kind("OneHot with a negative depth", "IX562", BAD, "a vector of -3")(
    op("y = OneHot(i, d, v)", "int64[2] i", "int64 d = {-3}, float[2] v = {0, 1}")
)
kind("OneHot with three values", "IX562", BAD, "the values are off and on")(
    op("y = OneHot(i, d, v)", "int64[2] i", "int64 d = {3}, float[3] v = {0, 1, 2}")
)
kind("Resize scales of another length", "IX562", BAD, "four axes have four scales")(
    op('y = Resize(x, "", s)', "float[1, 2, 8, 8] x", "float[2] s = {2, 2}")
)
kind("Resize with a scale of 0", "IX578", BAD, "nothing is left")(
    op('y = Resize(x, "", s)', "float[1, 2, 8, 8] x", "float[4] s = {1, 1, 0, 2}")
)
kind("DepthToSpace that does not divide", "IX576", BAD, "6 channels do not divide into blocks of 2 x 2")(
    op("y = DepthToSpace <blocksize = 2> (x)", "float[1, 6, 4, 4] x")
)
kind("SpaceToDepth that does not divide", "IX576", BAD, "5 rows do not divide into blocks of 2")(
    op("y = SpaceToDepth <blocksize = 2> (x)", "float[1, 2, 5, 4] x")
)
kind("LSTM weights of other sizes", "IX576", BAD, "the input has 4 features, the weight takes 7")(
    op("y = LSTM <hidden_size = 2> (x, w, r)", "float[5, 1, 4] x, float[1, 8, 7] w, float[1, 8, 2] r")
)
kind("GRU weights of an LSTM", "IX576", BAD, "a GRU has three gates, an LSTM four")(
    op("y = GRU <hidden_size = 2> (x, w, r)", "float[5, 1, 4] x, float[1, 8, 4] w, float[1, 8, 2] r")
)
kind("LSTM states of another batch", "IX576", BAD, "a batch of 1 has states of 2")(
    op(
        'y = LSTM <hidden_size = 2> (x, w, r, "", "", h)',
        "float[5, 1, 4] x, float[1, 8, 4] w, float[1, 8, 2] r, float[1, 2, 2] h",
    )
)
kind("an attention mask of another length", "IX576", "'m'", "6 keys have a mask of 5")(
    op(
        "y = Attention(q, k, v, m)",
        "float[1, 2, 4, 8] q, float[1, 2, 6, 8] k, float[1, 2, 6, 8] v, float[4, 5] m",
        opsets='"": 23',
    )
)
kind("sizes that fit only outside of a body", "IX576", BAD, "the mask fails where the heads are taken apart")(
    op(
        "y = Attention <q_num_heads = 2, kv_num_heads = 2> (q, k, v, m)",
        "float[1, 4, 16] q, float[1, 6, 16] k, float[1, 6, 16] v, float[4, 5] m",
        opsets='"": 23',
    )
)
kind("an order of axes with one left out", "IX562", BAD, "x has two axes")(op("y = Transpose <perm = [0]> (x)"))
kind("weights of a loss that are no vector", "IX576", BAD, "one weight for each class is a vector")(
    op("y = SoftmaxCrossEntropyLoss(x, t, w)", "float[2, 5] x, int64[2] t, float[5, 1] w", outputs="float y")
)
kind("a shape that is computed, and does not fit", "IX562", BAD, "three columns are stretched to four")(
    text(
        "a = Shape(w) b = Add(a, a) [bad_node] r = Expand(x, b) y = Relu(r)",
        "float[?, 3] x, float[2] w",
        "float[m, n] y",
    )
)
kind("Attention of sizes that do not fit", "IX576", BAD, "queries of 8 against keys of 4")(
    op(
        "y = Attention(q, k, v)",
        "float[1, 2, 5, 8] q, float[1, 2, 5, 4] k, float[1, 2, 5, 8] v",
        opsets='"": 23',
    )
)
kind("labels of a loss that do not fit", "IX576", "labels", "two rows of scores have three labels")(
    op("y = SoftmaxCrossEntropyLoss(x, t)", "float[2, 5] x, int64[3] t", outputs="float y")
)
kind("weights of a loss for other classes", "IX576", BAD, "five classes have three weights")(
    op("y = SoftmaxCrossEntropyLoss(x, t, w)", "float[2, 5] x, int64[2] t, float[3] w", outputs="float y")
)
kind("GroupNormalization of a vector", "IX576", BAD, "a vector has no channels")(
    op("y = GroupNormalization <num_groups = 1> (x, s, s)", "float[4] x, float[4] s", outputs="float[n] y")
)
kind("CenterCropPad of an axis that is not there", "IX576", BAD, "x has two axes")(
    op("y = CenterCropPad <axes = [5]> (x, s)", constants="int64[1] s = {2}")
)
kind("per-channel scales of another length", "IX576", BAD, "3 columns have 5 scales")(
    op(
        "y = DequantizeLinear <axis = 1> (x, s)",
        "uint8[2, 3] x",
        "float[5] s = {1, 1, 1, 1, 1}",
    )
)
kind("Clip with a minimum above its maximum", "IX578", BAD, "every result is the maximum")(
    op("y = Clip(x, a, b)", constants="float a = {6}, float b = {0}")
)
kind("a determinant of what is not square", "IX562", BAD, "2 x 3")(op("y = Det(x)"))
kind("a declared output shape", "IX567", "float32[2, 4]", "Relu keeps the shape")(
    text("y = Relu(x)", outputs="float[2, 4] y")
)
kind("a declared output rank", "IX567", "float32[6]", "Relu keeps the shape")(text("y = Relu(x)", outputs="float[6] y"))
kind("a default of another shape than its input", "IX567", "'w'", "the input says 3, its default has 2")(
    text("y = Relu(x)", "float[2, 3] x, float[3] w", constants="float[2] w = {1, 2}")
)
kind("a symbol that lies", "IX568", "'y'", "the result has N rows, M are declared")(
    text("y = Identity(x)", "float[N, 3] x, float[M, 3] w", "float[M, 3] y")
)
kind("a size that is not always so", "IX568", "'y'", "the result has N rows, 1 is declared")(
    text("y = Identity(x)", "float[N, 3] x", "float[1, 3] y")
)
kind("another name for one size", "IX571", "'y'", "the input calls it N, the output rows")(
    text("y = Identity(x)", "float[N, 3] x", "float[rows, 3] y")
)
kind("sizes that cannot both be", "IX562", BAD, "N rows are added to M, where x and w say 3 and 4")(
    text(
        "s = Slice(x, a, b, c) [bad_node] y = Add(s, w)",
        "float[8, 3] x, float[8, 4] w",
        "float[m, n] y",
        "int64[1] a = {0}, int64[1] b = {2}, int64[1] c = {0}",
    )
)
