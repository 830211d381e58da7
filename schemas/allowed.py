"""The values an attribute may have, where the operator's text lists them: onnx.defs does not hold them.

An entry is ``(operators, attribute): values`` or, if the list grew, ``{first version: values, ...}``. A plural
attribute (the activations of an LSTM) lists what each of its elements may be. A test holds each entry against the
shipped schemas: the attribute exists, and the default of each version is one of the values.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from interchange.dtypes import to_onnx
from interchange.schemas.typetext import to_dtype

Values = tuple[Any, ...]
Table = Mapping[tuple[str, str], Values | dict[int, Values]]

_AUTO_PAD = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
_LOSS = ("none", "sum", "mean")
_SCATTER = {16: ("none", "add", "mul"), 18: ("none", "add", "mul", "max", "min")}
_DIRECTION = ("forward", "reverse", "bidirectional")
_ACTIVATIONS = (
    *("Relu", "Tanh", "Sigmoid", "Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid"),
    *("Elu", "Softsign", "Softplus"),
)
_FLAG = (0, 1)

_ONNX: Table = {
    ("AveragePool Conv ConvInteger ConvTranspose LpPool MaxPool QLinearConv", "auto_pad"): _AUTO_PAD,
    ("Attention", "qk_matmul_output_mode"): (0, 1, 2, 3),
    ("BatchNormalization", "spatial"): _FLAG,
    ("BitShift", "direction"): ("LEFT", "RIGHT"),
    ("Cast CastLike", "round_mode"): ("up", "down", "nearest"),
    ("CausalConvWithState", "activation"): ("silu", "swish", "none"),
    ("DepthToSpace SpaceToDepth", "mode"): ("DCR", "CRD"),
    ("GRU LSTM RNN", "activations"): _ACTIVATIONS,
    ("GRU", "direction"): {1: (*_DIRECTION, "foward"), 3: _DIRECTION},  # the typo is version 1's own default
    ("LSTM RNN", "direction"): _DIRECTION,
    ("Gelu", "approximate"): ("none", "tanh"),
    ("GridSample", "mode"): {16: ("bilinear", "nearest", "bicubic"), 20: ("linear", "nearest", "cubic")},
    ("GridSample", "padding_mode"): ("zeros", "border", "reflection"),
    ("ImageDecoder", "pixel_format"): ("RGB", "BGR", "Grayscale"),
    ("LinearAttention", "update_rule"): ("linear", "gated", "delta", "gated_delta"),
    ("LpNormalization", "p"): (1, 2),
    ("NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss", "reduction"): _LOSS,
    ("Pad", "mode"): {1: ("constant", "reflect", "edge"), 19: ("constant", "reflect", "edge", "wrap")},
    ("Resize", "coordinate_transformation_mode"): {
        11: (
            "half_pixel",
            "pytorch_half_pixel",
            "align_corners",
            "asymmetric",
            "tf_half_pixel_for_nn",
            "tf_crop_and_resize",
        ),
        13: ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"),
        19: (
            "half_pixel",
            "half_pixel_symmetric",
            "pytorch_half_pixel",
            "align_corners",
            "asymmetric",
            "tf_crop_and_resize",
        ),
    },
    ("Resize", "keep_aspect_ratio_policy"): ("stretch", "not_larger", "not_smaller"),
    ("Resize", "mode"): {10: ("nearest", "linear"), 11: ("nearest", "linear", "cubic")},
    ("Resize", "nearest_mode"): ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    ("RoiAlign", "coordinate_transformation_mode"): ("half_pixel", "output_half_pixel"),
    ("RoiAlign", "mode"): ("avg", "max"),
    ("ScatterElements ScatterND", "reduction"): _SCATTER,
    ("StringNormalizer", "case_change_action"): ("LOWER", "UPPER", "NONE"),
    ("TensorScatter", "mode"): ("linear", "circular"),
    ("TfIdfVectorizer", "mode"): ("TF", "IDF", "TFIDF"),
    ("Upsample", "mode"): {1: ("nearest", "bilinear"), 7: ("nearest", "linear")},
}
# names which mean no or yes, 0 or 1, in every operator of ai.onnx that has them
_FLAG_NAMES = """
    align_corners allowzero antialias batch_axis broadcast ceil_mode center_point_box count_include_pad detect_negative
    detect_positive directions exclude_outside exclusive fmod input_forget interleaved inverse is_case_sensitive
    is_causal keepdims largest layout linear_before_reset new_axis noop_with_empty_axes onesided output_sequence
    periodic reverse saturate scan_input_directions scan_output_directions select_last_index sorted storage_order
    time_axis training_mode transA transB upper
"""
FLAGS = frozenset(_FLAG_NAMES.split())

_POST_TRANSFORM = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
_NODE_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "LEAF")
_ML: Table = {
    ("CastMap", "cast_to"): ("TO_FLOAT", "TO_STRING", "TO_INT64"),
    ("CastMap", "map_form"): ("DENSE", "SPARSE"),
    (
        "LinearClassifier LinearRegressor SVMClassifier SVMRegressor TreeEnsembleClassifier TreeEnsembleRegressor",
        "post_transform",
    ): _POST_TRANSFORM,
    ("LinearClassifier", "multi_class"): _FLAG,
    ("Normalizer", "norm"): ("MAX", "L1", "L2"),
    ("OneHotEncoder", "zeros"): _FLAG,
    ("SVMClassifier SVMRegressor", "kernel_type"): ("LINEAR", "POLY", "RBF", "SIGMOID"),
    ("SVMRegressor", "one_class"): _FLAG,
    ("TreeEnsemble", "aggregate_function"): (0, 1, 2, 3),
    ("TreeEnsemble", "post_transform"): (0, 1, 2, 3, 4),
    ("TreeEnsemble", "nodes_falseleafs"): _FLAG,
    ("TreeEnsemble", "nodes_trueleafs"): _FLAG,
    ("TreeEnsembleClassifier TreeEnsembleRegressor", "nodes_modes"): _NODE_MODES,
    ("TreeEnsembleRegressor", "aggregate_function"): ("AVERAGE", "SUM", "MIN", "MAX"),
    ("TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor", "nodes_missing_value_tracks_true"): _FLAG,
}

_QUANTIZATION = ("NONE", "PER_TENSOR", "PER_CHANNEL")
_RUNTIME: Table = {
    (
        "ConvTransposeWithDynamicPads FusedConv MaxpoolWithMask NhwcConv NhwcFusedConv NhwcMaxPool"
        " QLinearAveragePool QLinearConv",
        "auto_pad",
    ): _AUTO_PAD,
    ("AttnLSTM DynamicQuantizeLSTM", "activations"): _ACTIVATIONS,
    ("AttnLSTM DynamicQuantizeLSTM", "direction"): _DIRECTION,
    ("CausalConvWithState VarlenCausalConvWithState", "activation"): ("silu", "swish", "none"),
    ("CropAndResize", "mode"): ("bilinear", "nearest"),
    ("GridSample", "mode"): ("bilinear", "nearest", "bicubic"),
    ("GridSample", "padding_mode"): ("zeros", "border", "reflection"),
    ("GroupQueryAttention PagedAttention", "k_quant_type"): _QUANTIZATION,
    ("GroupQueryAttention PagedAttention", "v_quant_type"): _QUANTIZATION,
    ("LinearAttention", "update_rule"): ("linear", "gated", "delta", "gated_delta"),
    ("MatMulBnb4", "quant_type"): (0, 1),
    ("Pad", "mode"): ("constant", "reflect", "edge", "wrap"),  # the text leaves out wrap, the kernel has it
    ("FusedGemm FusedMatMul FusedMatMulActivation QGemm TransposeMatMul", "transA"): _FLAG,
    ("FusedGemm FusedMatMul FusedMatMulActivation QGemm TransposeMatMul", "transB"): _FLAG,
    ("FusedMatMul FusedMatMulActivation", "transBatchA"): _FLAG,
    ("FusedMatMul FusedMatMulActivation", "transBatchB"): _FLAG,
    ("Attention MultiHeadAttention QAttention", "unidirectional"): _FLAG,
    ("Trilu", "upper"): _FLAG,
}

# int attributes that choose an element type -> the type variable which says which. 0 (not given) is one more value
# where it is the default.
_DTYPE_OF: Table = {
    ("BitCast Cast", "to"): {6: ("T2",)},  # version 1 of Cast has a text
    ("Bernoulli EyeLike Multinomial RandomNormalLike RandomUniformLike", "dtype"): ("T2",),
    ("RandomNormal RandomUniform", "dtype"): ("T",),
    ("BlackmanWindow HammingWindow HannWindow", "output_datatype"): ("T2",),
    ("MelWeightMatrix", "output_datatype"): ("T3",),
    ("QuantizeLinear", "output_dtype"): {21: (0, "T2"), 23: (0, "T3")},
    ("DequantizeLinear", "output_dtype"): (0, "T3"),
}

# the least value of numbers, in every operator of ai.onnx that has them; what onnx's shape rules say is not repeated
_LEAST = {
    **dict.fromkeys(("dilations", "group", "hidden_size", "kernel_shape", "num_groups", "size", "strides"), 1),
    **dict.fromkeys(("kv_num_heads", "num_heads", "q_num_heads", "rotary_embedding_dim"), 0),
}
_AXES = frozenset({"axis", "axes", "batch_axis", "batch_dims", "perm", "time_axis"})
MOST_AXIS = 2**31 - 1  # ONNX Runtime keeps axes as 32-bit integers


def bounds(domain: str, attribute: str) -> tuple[int | None, int | None]:
    """The least and the largest value that an integer of this name may have in any operator of a domain; None: any."""
    if domain == "" and attribute in _AXES:
        return -MOST_AXIS, MOST_AXIS
    return (_LEAST.get(attribute) if domain == "" else None), None


TABLES: Mapping[str, Table] = {"": _ONNX, "ai.onnx.ml": _ML, "com.microsoft": _RUNTIME}


@functools.cache
def _by_operator(domain: str, dtypes: bool = False) -> dict[tuple[str, str], dict[int, Values]]:
    table = _DTYPE_OF if dtypes else TABLES.get(domain, {})
    return {
        (op, attribute): values if isinstance(values, dict) else {1: values}
        for (ops, attribute), values in table.items()
        for op in ops.split()
    }


def allowed_values(
    domain: str, op: str, since: int, attribute: str, constraints: Mapping[str, tuple[str, ...]]
) -> Values | None:
    """The values that version of the operator allows; None: any value of the attribute's type.

    constraints: the version's type variables, from which follows what ``Cast.to`` may be (ONNX's numbers).
    """
    if domain == "" and attribute in FLAGS:
        return _FLAG
    values = _at(_by_operator(domain).get((op, attribute), {}), since)
    if values is None and domain == "":
        chosen = _at(_by_operator(domain, dtypes=True).get((op, attribute), {}), since)
        values = None if chosen is None else _numbers(chosen, constraints)
    return values


def _at(versions: Mapping[int, Values], since: int) -> Values | None:
    reached = [v for v in versions if v <= since]
    return versions[max(reached)] if reached else None


def _numbers(chosen: Values, constraints: Mapping[str, tuple[str, ...]]) -> Values | None:
    dtypes = [to_dtype(text) for text in constraints[chosen[-1]]]
    if any(dtype is None for dtype in dtypes):
        return None  # an element type newer than interchange.dtypes: better no list than a wrong one
    return tuple(sorted({*chosen[:-1], *(to_onnx(dtype) for dtype in dtypes if dtype is not None)}))
