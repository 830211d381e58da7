"""What kernels refuse when they are made, which no table says; each with the releases in which it was seen."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from interchange.schemas.calls import Call, Verdict
from interchange.schemas.runtimes import Form, Runtime


@dataclass(frozen=True, slots=True)
class Quirk:
    """ops: operators of ai.onnx.  since, until: the first and the last release that has it; until "": the newest.

    refused: whether a call of attributes is refused.  found, expected: for a reader.
    """

    ops: tuple[str, ...]
    refused: Callable[[Mapping[str, Any]], bool]
    found: str
    expected: str
    since: str = "1.17"
    until: str = ""

    def has(self, release: str) -> bool:
        """Whether a release has it."""
        return _number(self.since) <= _number(release) and (not self.until or _number(release) <= _number(self.until))


def _number(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


_FLOAT8 = (17, 18, 19, 20)  # TensorProto.FLOAT8E4M3FN and those after it


def _outside_kept(attributes: Mapping[str, Any]) -> bool:
    mode = attributes.get("mode", b"nearest")
    return mode != b"cubic" and not (mode == b"linear" and attributes.get("antialias"))


def _no_grams(attributes: Mapping[str, Any]) -> bool:
    """Grams of lengths that there are none of, or a pool that is not made of whole ones."""
    try:
        low, high, skip = (attributes[n] for n in ("min_gram_length", "max_gram_length", "max_skip_count"))
        starts = list(attributes["ngram_counts"])
    except KeyError:  # another rule tells of what is missing
        return False
    count = len(attributes.get("pool_int64s") or attributes.get("pool_strings") or ())
    spans = list(enumerate(pairwise([*starts, count]), 1))
    bad = any(not 0 <= begin <= end <= count or (end - begin) % length for length, (begin, end) in spans)
    return bad or skip < 0 or not 0 < low <= high <= len(starts)


QUIRKS: tuple[Quirk, ...] = (
    Quirk(
        ("GRU", "LSTM", "RNN"),
        lambda a: a.get("hidden_size", 0) <= 0,
        "no hidden_size",
        "hidden_size, which the format lets follow from the weights",
    ),
    Quirk(
        ("Cast",),
        lambda a: not a.get("saturate", 1) and a.get("to") not in _FLOAT8,
        "saturate=0 for a target that is no float8",
        "saturate for float8 alone",
    ),
    Quirk(("RegexFullMatch",), lambda a: "pattern" not in a, "no pattern", "a pattern"),
    Quirk(
        ("Resize",),
        lambda a: bool(a.get("antialias")) and a.get("mode", b"nearest") == b"nearest",
        "antialias=1 with mode=nearest",
        "antialias with mode linear or cubic",
    ),
    Quirk(
        ("Resize",),
        lambda a: bool(a.get("exclude_outside")) and _outside_kept(a),
        "exclude_outside=1 with a mode that looks at no pixels outside",
        "exclude_outside with mode cubic, or with linear and antialias=1",
    ),
    Quirk(
        ("ReverseSequence",),
        lambda a: a.get("batch_axis", 1) == a.get("time_axis", 0),
        "batch_axis and time_axis the same",
        "one of them 0, the other 1",
    ),
    Quirk(
        ("LRN",),
        lambda a: a.get("size", 1) % 2 == 0 or a.get("alpha", 1) <= 0 or a.get("beta", 1) <= 0,
        "an even size, or alpha or beta of 0 or less",
        "an odd size, alpha and beta above 0",
    ),
    Quirk(
        ("TfIdfVectorizer",),
        _no_grams,
        "gram lengths, ngram_counts and a pool that do not fit each other",
        "0 < min_gram_length <= max_gram_length <= the number of ngram_counts, which rise and part the pool into whole "
        "grams; max_skip_count of 0 or more",
    ),
    Quirk(
        ("Attention",),
        lambda a: a.get("scale", 1) <= 0,
        "a scale of 0 or less",
        "a scale above 0, or none",
        since="1.23",
    ),
    Quirk(("GRU", "LSTM", "RNN"), lambda a: a.get("layout", 0) != 0, "layout=1", "layout=0, with Transpose around it"),
    Quirk(
        ("DFT",),
        lambda a: bool(a.get("inverse")) and bool(a.get("onesided")),
        "inverse=1 with onesided=1",
        "not both: the inverse of all the frequencies",
        until="1.24",
    ),
    Quirk(
        ("RotaryEmbedding",),
        lambda a: a.get("rotary_embedding_dim", 0) > 0 and not a.get("num_heads"),
        "rotary_embedding_dim without num_heads",
        "num_heads given as well",
        since="1.23",
        until="1.23",
    ),
)
_FUSED = {
    "MatMul": Quirk(
        ("MatMul",),
        lambda a: True,
        "float64 that a Transpose of the last two axes makes: the two are fused into a kernel that is not there",
        "float32, or the Transpose in another place",
        until="1.25",
    ),
    "Mul": Quirk(
        ("Mul",),
        lambda a: True,
        "float64 times its own Sigmoid: the two are fused into a kernel that is not there",
        "float32",
        until="1.30",
    ),
}
_BY_OPERATOR = {op: [q for q in QUIRKS if op in q.ops] for kind in QUIRKS for op in kind.ops}


def is_quirky(domain: str, op: str) -> bool:
    """Whether a kernel of the operator looks at its attributes when it is made."""
    return not domain and op in _BY_OPERATOR


def quirk(call: Call, form: Form, runtime: Runtime) -> Verdict | None:
    """What the constructor of the call's kernel says, if it refuses the call."""
    # a call without a node is asked about its dtypes alone
    own = [] if call.domain or call.node is None else _BY_OPERATOR.get(call.op, [])
    known = [_FUSED[call.op]] if call.fused else own
    found = next((q for q in known if q.has(runtime.name) and q.refused(call.attributes)), None)
    return None if found is None else Verdict("quirk", found.found, found.expected)


_OWN_BODIES = {("FastGelu", "tensor(double)"): "1.21", ("QuickGelu", "tensor(double)"): "1.31"}  # -> first release


def has_own_body(call: Call, runtime: Runtime) -> bool:
    """Whether the release defines an operator of its own domain by others, which it does not show."""
    since = _OWN_BODIES.get((call.op, call.inputs[0] or "")) if call.domain == "com.microsoft" and call.inputs else None
    return since is not None and _number(runtime.name) >= _number(since)


def fuses(call: Call, perms: Iterable[Sequence[int] | None]) -> bool:
    """Whether the runtime's optimiser merges a Transpose into a MatMul of float64, as it does into one of float32.

    perms: for each input the permutation of the Transpose that makes it, in the same graph, from what is no constant;
    None for what is made otherwise, and for what is an output of the graph.
    """
    if call.op != "MatMul" or call.domain or call.inputs[:1] != ("tensor(double)",):
        return False
    return any(perm is not None and _is_merged(list(perm)) for perm in perms)


def perm_of(node: Any, made: Any, constant: Container[str]) -> list[int] | None:
    """The permutation of a NodeProto as `fuses` asks for it; [] for one that gives none where the rank is not known.

    made: the TypeProto of what it makes, None if it is not known.  constant: the names of constants.
    """
    if node is None or node.op_type != "Transpose" or not node.input or node.input[0] in constant:
        return None
    rank = len(made.tensor_type.shape.dim) if made is not None else 0
    return next((list(a.ints) for a in node.attribute if a.name == "perm"), [*range(rank)][::-1])


def _is_merged(perm: list[int]) -> bool:
    """The last two axes change places, or the first axis moves to one of the last two places."""
    last = len(perm) - 1
    if last < 1:
        return False
    *batch, row, column = perm
    if (row, column) == (last, last - 1):
        return batch == list(range(last - 1))
    return batch == list(range(1, last)) and {row, column} == {0, last} and bool(batch)
