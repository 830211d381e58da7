"""Comparing models: no change is missed, nothing that is no change is told, and a person sees at once what it is."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzzing
import numpy as np
import onnx
import pytest
from diff_models import ORDER_OF, alike, laid_out_anew, model, rename_all
from graph_models import MODELS, X
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from shell import Ran

import interchange as ix
from interchange.comparing import ModelDiff
from interchange.errors import FileError, InterchangeError, UsageError
from interchange.graph.files import load, save
from interchange.graph.proto import from_proto, to_proto


def told(found: ModelDiff, part: str) -> list[tuple[str, str, list[str]]]:
    return [(c.kind, c.what, [str(d) for d in c.details]) for c in found.part(part)]


# -- no change is missed -----------------------------------------------------------------------------------------------
def plain(proto: onnx.ModelProto) -> bytes:
    """A model in the one form in which its layout does not show: read and written again, and everything sorted that has
    no order. (Names count here.)"""
    read = to_proto(from_proto(proto))
    for message in [*fuzzing.messages(read)][::-1]:
        for name in ORDER_OF.get(message.DESCRIPTOR.name, ()):
            items = getattr(message, name)
            key = str if name == "attribute" and isinstance(message, onnx.FunctionProto) else _bytes
            ordered = sorted(items, key=key)
            copies = [copy.deepcopy(i) for i in ordered]
            del items[:]
            items.extend(copies)
    return read.SerializeToString(deterministic=True)


def _bytes(message: Any) -> bytes:
    return message.SerializeToString(deterministic=True)


def small_models() -> st.SearchStrategy[onnx.ModelProto]:
    return st.sampled_from(sorted([*fuzzing.seeds(), model().SerializeToString()])).map(onnx.ModelProto.FromString)


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(small_models(), st.randoms(use_true_random=False))
def test_no_change_of_any_field_is_missed(proto: onnx.ModelProto, rnd: random.Random) -> None:
    missed(proto, rnd)


@pytest.mark.conformance
def test_no_change_of_any_field_is_missed_at_length() -> None:
    protos = [*fuzzing.seeds(), model().SerializeToString()]
    for number in range(10_000):
        rnd = random.Random(number)
        missed(onnx.ModelProto.FromString(rnd.choice(protos)), rnd)


def missed(proto: onnx.ModelProto, rnd: random.Random) -> None:
    """Fail if a model with one field changed is said to be identical, though it is written in another way."""
    before, done = plain(proto), copy.deepcopy(proto)
    what = fuzzing.mutate(done, rnd)
    try:
        after = plain(done)
        found = ix.diff(proto, done)
        backwards = ix.diff(done, proto)
    except InterchangeError:  # it cannot be read any more: nothing is said of it
        return
    assert found.same == backwards.same
    assert found.identical == backwards.identical
    assert not (found.identical and before != after), what
    if before != after and found.same:  # then it is one of the names inside
        assert all(c.part == "names" for c in found.changes), what
        assert renamed_alike(proto, done), what
    json.dumps(found.to_dict())
    assert "\x1b" not in found.text(0)


def renamed_alike(a: onnx.ModelProto, b: onnx.ModelProto) -> bool:
    """Whether two models are written alike once every node and inner value is called by the order it comes in."""
    return numbered(a) == numbered(b)


def numbered(proto: onnx.ModelProto) -> list[str]:
    """Every node with what it reads, by where that was made; texts of names left out."""
    ir = from_proto(proto)
    numbers: dict[Any, int] = {}
    lines = []
    for graph in ir.all_graphs():
        for value in graph.values():
            numbers.setdefault(value, len(numbers))
    for graph in ir.all_graphs():
        for node in graph.nodes:
            reads = [None if v is None else numbers[v] for v in node.inputs]
            lines.append(f"{node.domain} {node.op_type} {reads} {[bool(v.name) for v in node.outputs]}")
        lines.append(str([numbers[v] for v in graph.outputs]))
    return sorted(lines)


def test_what_the_graph_of_a_file_does_not_hold_is_compared_too() -> None:
    a = model()
    b = model()
    b.graph.value_info.add(name="nothing").type.tensor_type.elem_type = 1
    assert ix.diff(a, b).verdict == "declared types differ"
    b = model()
    info = b.graph.value_info.add(name="w")
    info.type.tensor_type.elem_type = 7
    assert ix.diff(a, b).verdict == "declared types differ"
    unknown = model().SerializeToString() + b"\xca\x3e\x03abc"  # field 1001
    assert ix.diff(unknown, unknown).identical
    assert ix.diff(a, unknown).part("structure")[0].what == "fields that this release does not know"
    assert not ix.diff(unknown, unknown + b"\xca\x3e\x03abd").same


def test_an_order_that_runtimes_refuse_is_told() -> None:
    late = model()
    late.graph.node.insert(0, late.graph.node.pop(1))
    assert told(ix.diff(model(), late), "structure")[0][1] == "order in the file"
    assert ix.diff(late, late).identical


# -- nothing is told that is no change ---------------------------------------------------------------------------------
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(small_models(), st.randoms(use_true_random=False), st.booleans())
def test_other_names_and_another_order_are_no_difference(
    proto: onnx.ModelProto, rnd: random.Random, rename: bool
) -> None:
    other = laid_out_anew(proto, rnd, rename)
    found = ix.diff(proto, other)
    assert found.same, found.text(0)
    assert found.identical or rename
    assert found.verdict in ("identical", "same up to names")


LARGE = 130  # weights of that many rows and columns are not read to tell nodes apart


@pytest.mark.parametrize("size", [4, LARGE])
def test_nodes_that_are_alike_are_told_apart_by_their_wiring(size: int) -> None:
    proto = alike(size)
    for seed in range(5):
        assert ix.diff(proto, laid_out_anew(proto, random.Random(seed), True)).verdict == "same up to names"
    swapped = copy.deepcopy(proto)
    node = next(n for n in swapped.graph.node if n.op_type == "Sub")
    node.input[:] = node.input[::-1]
    other = laid_out_anew(swapped, random.Random(0), True)
    assert not ix.diff(proto, other).same


def test_an_inserted_node_leaves_what_is_alike_in_its_place() -> None:
    proto = alike(LARGE)
    other = copy.deepcopy(proto)
    for node in other.graph.node:
        node.input[:] = ["new" if name == "x0" else name for name in node.input]
    other.graph.node.insert(0, helper.make_node("Neg", ["x0"], ["new"]))
    found = ix.diff(proto, laid_out_anew(other, random.Random(0), True))
    assert found.verdict == "structure differs: 1 added, 3 changed; names differ"


def test_values_that_one_subgraph_takes_are_told_apart() -> None:
    """p and q are products with large weights, and only what the branches do with them tells which is which."""
    proto = onnx.parser.parse_model(f"""
    <ir_version: 10, opset_import: ["": 21]>
    main (float[{LARGE}, {LARGE}] x, bool c) => (float[{LARGE}, {LARGE}] y) {{
      p = MatMul(x, v)
      q = MatMul(x, w)
      y = If(c) <then_branch = then () => (float[{LARGE}, {LARGE}] t) {{ t = Sub(p, q) }},
                else_branch = other () => (float[{LARGE}, {LARGE}] e) {{ e = Sub(q, p) }}>
    }}
    """)
    for name in "vw":
        proto.graph.initializer.append(numpy_helper.from_array(np.full((LARGE, LARGE), ord(name), np.float32), name))
    for seed in range(5):
        assert ix.diff(proto, laid_out_anew(proto, random.Random(seed), True)).verdict == "same up to names"


def test_two_random_numbers_are_not_one() -> None:
    head = '<ir_version: 10, opset_import: ["": 21]> m () => (float[2] y) '
    drawn = "a = RandomNormal<shape = [2]>() b = RandomNormal<shape = [2]>()"
    a, b = (onnx.parser.parse_model(f"{head} {{ {drawn} y = Sub({args}) }}") for args in ("a, a", "a, b"))
    assert not ix.diff(a, b).same


# -- what is told ------------------------------------------------------------------------------------------------------
def inserted() -> onnx.ModelProto:
    proto = model(("[shift] s = Add(k, b)", "[extra] e = Clip(k) [shift] s = Add(e, b)"))
    rename_all(proto, random.Random(1))
    return proto


CASES: dict[str, tuple[Callable[[], onnx.ModelProto], str, dict[str, Any]]] = {
    "a weight": (
        lambda: model(("w = {1, 2, 3, 4}", "w = {1, 2, 3, 4.5}")),
        "weights differ: 1 changed of 3",
        {},
    ),
    "an attribute": (
        lambda: model(("alpha = 0.5", "alpha = 0.25")),
        "structure differs: 1 changed",
        {"structure": [("changed", "node 'last' (LeakyRelu)", ["attribute alpha: 0.5 -> 0.25"])]},
    ),
    "an operator": (
        lambda: model(("[shift] s = Add", "[shift] s = Mul")),
        "structure differs: 1 changed",
        {"structure": [("changed", "node 'shift' (Add)", ["op_type: 'Add' -> 'Mul'"])]},
    ),
    "an operator in a subgraph": (
        lambda: model(("[neg] q = Neg(s)", "[neg] q = Abs(s)")),
        "structure differs: 1 changed",
        {"structure": [("changed", "node 'neg' (Neg)", ["op_type: 'Neg' -> 'Abs'"])]},
    ),
    "the order of inputs": (
        lambda: model(("float[batch, 2] x, bool c", "bool c, float[batch, 2] x")),
        "signature differs",
        {"signature": [("changed", "order of the inputs", ["order: x, c -> c, x"])]},
    ),
    "the name of an input": (
        lambda: model(("float[batch, 2] x,", "float[batch, 2] X,"), ("MatMul(x, w)", "MatMul(X, w)")),
        "signature differs; names differ",
        {"signature": [("changed", "input 'x'", ["name: x -> X"])]},
    ),
    "the type of an input": (
        lambda: model(("float[batch, 2] x,", "float[N, 2] x,")),
        "signature differs",
        {"signature": [("changed", "input 'x'", ["type: float32[batch, 2] -> float32[N, 2]"])]},
    ),
    "an input more": (
        lambda: model(("bool c)", "bool c, float z)")),
        "signature differs; structure differs: 1 changed",
        {"signature": [("added", "input 'z': float32[]", [])]},
    ),
    "the opset": (
        lambda: model(('"": 21', '"": 20')),
        "opset 21 -> 20",
        {},
    ),
    "a read of another value": (
        lambda: model(("LeakyRelu<alpha = 0.5>(t)", "LeakyRelu<alpha = 0.5>(s)")),
        "structure differs: 1 changed",
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_change_is_told_as_one(name: str) -> None:
    make, verdict, parts = CASES[name]
    found = ix.diff(model(), make())
    assert found.verdict == verdict, found.text()
    for part, changes in parts.items():
        assert told(found, part) == changes


def test_a_default_of_an_input() -> None:
    text = (
        '<ir_version: 10, opset_import: ["": 21]> m (float[2] x, float[2] k) => (float[2] y) DEFAULT { y = Add(x, k) }'
    )
    a, b = (onnx.parser.parse_model(text.replace("DEFAULT", d)) for d in ("", "<float[2] k = {1, 2}>"))
    found = ix.diff(a, b)
    assert told(found, "signature") == [("changed", "input 'k'", ["use: must be given -> has a default"])]
    assert [(w.kind, w.name) for w in found.weights] == [("added", "k")]


def test_an_inserted_node_is_found_though_all_names_are_others() -> None:
    found = ix.diff(model(), inserted())
    assert found.verdict == "structure differs: 1 added, 1 changed; names differ"
    kinds = {c.kind: c for c in found.part("structure")}
    assert "(Clip)" in kinds["added"].what
    assert kinds["changed"].what == "node 'shift' (Add)"
    back = ix.diff(inserted(), model())
    assert back.verdict == "structure differs: 1 removed, 1 changed; names differ"


def test_a_trigger_in_a_branch_of_the_received_file_is_found() -> None:
    """The shape of an architectural backdoor: a comparison of the input that steers the output."""
    received = model(
        ("[last] y = LeakyRelu<alpha = 0.5>(t)",
         "[m] peak = ReduceMax<keepdims = 0>(x) [l] limit = Constant<value_float = 9.0>() "
         "[g] hit = Greater(peak, limit) "
         "[last] clean = LeakyRelu<alpha = 0.5>(t) [e] bad = Neg(clean) [z] y = Where(hit, bad, clean)")
    )  # fmt: skip
    found = ix.diff(model(), received)
    assert [c.what for c in found.part("structure") if c.kind == "added"] == [
        f"node '{n}' ({op})" for n, op in
        [("m", "ReduceMax"), ("l", "Constant"), ("g", "Greater"), ("e", "Neg"), ("z", "Where")]
    ]  # fmt: skip
    assert [c.what for c in found.part("structure") if c.kind == "changed"] == ["outputs of the graph"]


def test_weights_say_how_much_they_changed() -> None:
    a, b = model(), model()
    w, other = (np.array([[1, last], [3, 4]], np.float32) for last in (2, 2.5))
    b.graph.initializer[0].CopyFrom(numpy_helper.from_array(other, "renamed"))
    for node in b.graph.node:
        node.input[:] = ["renamed" if i == "w" else i for i in node.input]
    (found,) = ix.diff(a, b).weights
    assert (found.kind, found.name, found.a, found.elements, found.changed) == ("changed", "w", "float32[2, 2]", 4, 1)
    assert found.max_abs == 0.5
    assert found.relative == pytest.approx(0.5 / np.linalg.norm(w))


def constant(data: np.ndarray[Any, Any] | onnx.TensorProto) -> onnx.ModelProto:
    tensor = data if isinstance(data, onnx.TensorProto) else numpy_helper.from_array(data, "w")
    tensor.name = "w"
    y = onnx.ValueInfoProto(name="y")
    return helper.make_model(helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [y], [tensor]))


@pytest.mark.parametrize(
    ("a", "b", "changed", "max_abs", "not_finite"),
    [
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), None, None, 0),
        (np.array([0.0, 1.0]), np.array([-0.0, 1.0]), 1, 0.0, 0),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0]), 1, 0.0, 1),
        (np.array([1.0, 2.0]), np.array([1.0, -np.inf]), 1, 0.0, 1),
        (np.array([2**62, 5]), np.array([2**62 + 1, 5]), 1, 1.0, 0),
        (np.array([-(2**63)]), np.array([2**63 - 1]), 1, float(2**64), 0),
        (np.array([1.0, 0.1], np.float32), np.array([1.0, 0.1], np.float16), 1, 2.4414e-05, 0),
        (np.array([True, False]), np.array([True, True]), 1, 1.0, 0),
        (np.array(["a", "b"], object), np.array(["a", "c"], object), 1, None, 0),
        (np.array([1.0, 2.0]), np.array([[1.0, 2.0]]), 0, 0.0, 0),
        (np.array([1.0, 2.0]), np.array([1.0]), None, None, 0),
        (helper.make_tensor("w", onnx.TensorProto.INT4, [3], [1, -8, 7]),
         helper.make_tensor("w", onnx.TensorProto.INT4, [3], [1, -7, 7]), 1, 1.0, 0),
        (helper.make_tensor("w", onnx.TensorProto.BFLOAT16, [2], [1.0, 2.0]),
         helper.make_tensor("w", onnx.TensorProto.BFLOAT16, [2], [1.0, 2.5]), 1, 0.5, 0),
    ],
)  # fmt: skip
def test_weights_of_every_kind(a: Any, b: Any, changed: int | None, max_abs: float | None, not_finite: int) -> None:
    found = ix.diff(constant(a), constant(b)).weights
    if changed is None and max_abs is None and not not_finite and len(found) == 0:
        np.testing.assert_array_equal(a, b)
        return
    (weight,) = found
    assert (weight.changed, weight.not_finite) == (changed, not_finite)
    assert weight.max_abs == (None if max_abs is None else pytest.approx(max_abs, rel=1e-3))
    assert weight.text()


def test_bits_that_no_element_has_are_no_difference() -> None:
    """Three elements of 4 bits leave half a byte over."""
    a, b = (
        constant(helper.make_tensor("w", onnx.TensorProto.INT4, [3], bytes([0x21, p]), raw=True)) for p in (3, 0xF3)
    )
    assert ix.diff(a, b).identical


def test_models_of_other_families_get_an_answer() -> None:
    protos = {name: build()[0] for name, build in MODELS.items()}
    for name, proto in protos.items():
        found = ix.diff(proto, protos["scan"])
        assert found.same == (name == "scan")
        assert found.text()


def test_large_weights_are_compared_where_they_lie(tmp_path: Path) -> None:
    """In pieces, and in files: neither the form nor the file is a difference, one element of three million is."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    data = np.zeros((3, 1 << 20), np.float32)
    ir = from_proto(constant(data))
    one, two = tmp_path / "a" / "m.onnx", tmp_path / "b" / "m.onnx"
    save(ir, one, external=True)
    save(ir, two, external=False)
    assert ix.diff(one, two).identical
    data[2, 7] = 3
    save(from_proto(constant(data)), two, external=True)
    (found,) = ix.diff(one, two).weights
    assert (found.changed, found.max_abs, found.elements) == (1, 3.0, 3 << 20)
    assert ix.diff(load(one), one).identical


def test_a_model_of_ten_thousand_nodes() -> None:
    nodes = []
    for n in range(10_000):
        reads = [f"h{n}", f"h{max(0, n - 3)}"] if n % 4 == 2 else [f"h{n}"]
        nodes.append(helper.make_node(("Relu", "Tanh", "Add", "Neg")[n % 4], reads, [f"h{n + 1}"]))
    x, y = (helper.make_tensor_value_info(n, 1, [1]) for n in ("h0", "h10000"))
    a = helper.make_model(helper.make_graph(nodes, "g", [x], [y]))
    b = copy.deepcopy(a)
    for n in range(0, 10_000, 500):
        b.graph.node[n + 1].input[0] = f"h{n}"
        b.graph.node.add(op_type="Exp", input=[f"h{n + 1}"], output=[f"dead{n}"])
    found = ix.diff(a, laid_out_anew(b, random.Random(0), True))
    assert found.verdict == "structure differs: 20 added, 20 changed; names differ"


# -- values ------------------------------------------------------------------------------------------------------------
def test_values_are_compared_on_sampled_and_on_given_inputs() -> None:
    a, b = model(), model(("b = {0.5, 0.5}", "b = {0.5, 100}"))
    same = ix.diff(a, inserted(), run=True)
    assert same.verdict.endswith("values equal; names differ")
    assert same.values is not None
    assert len(same.values.trials) > 1
    other = ix.diff(a, b, run=True)
    assert other.verdict == "weights differ: 1 changed of 3; values differ"
    assert other.values is not None
    assert "output y at batch=" in (other.values.problem or "")
    given_inputs = ix.diff(a, b, inputs={"x": np.zeros((3, 2), np.float32), "c": np.array(True)})
    assert given_inputs.values is not None
    assert "[0, 1]" in (given_inputs.values.problem or "")
    with pytest.raises(InterchangeError, match="IX603"):
        ix.diff(a, b, inputs={"x": np.zeros((3, 2)), "c": np.array(True)})


def test_models_that_cannot_be_run_side_by_side_say_so() -> None:
    a = model()
    renamed = model(("float[batch, 2] x,", "float[batch, 2] X,"), ("MatMul(x, w)", "MatMul(X, w)"))
    found = ix.diff(a, renamed, run=True)
    assert found.values is not None
    assert "the second model does not run" in (found.values.problem or "")
    broken = model(("[neg] q = Neg(s)", "[neg] q = Relo(s)"))
    found = ix.diff(a, broken, run=True)
    assert found.values is not None
    assert "the second model cannot be run: IX540" in (found.values.problem or "")
    sequences = MODELS["sequences_and_optionals"]()[0]
    assert ix.diff(sequences, sequences, run=True).values is not None


def test_sequences_are_compared_element_by_element() -> None:
    head = '<ir_version: 10, opset_import: ["": 21]> m (float[2, 3] x) => (seq(float[N, 3]) y) '
    a, b = (onnx.parser.parse_model(f"{head} {{ n = {op}(x) y = SequenceConstruct(x, n) }}") for op in ("Neg", "Abs"))
    assert ix.diff(a, a, inputs={"x": X}).identical
    assert "y[1]" in (ix.diff(a, b, inputs={"x": X}).values.problem or "")  # type: ignore[union-attr]


# -- the command -------------------------------------------------------------------------------------------------------
@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(model(), "a.onnx")
    onnx.save(model(("alpha = 0.5", "alpha = 0.25")), "b.onnx")
    onnx.save(laid_out_anew(model(), random.Random(0), True), "renamed.onnx")
    return tmp_path


def test_status_and_first_line(files: Path, capsys: Any) -> None:
    same = Ran(capsys, "diff", "a.onnx", "renamed.onnx", "--run")
    assert (same.status, same.out.splitlines()[0]) == (0, "same up to names")
    other = Ran(capsys, "diff", "a.onnx", "b.onnx")
    assert (other.status, other.out.splitlines()[0]) == (1, "structure differs: 1 changed")
    assert "attribute alpha: 0.5 -> 0.25" in other.out
    assert Ran(capsys, "diff", "a.onnx", "b.onnx", "--ignore", "structure").status == 0
    data = Ran(capsys, "diff", "a.onnx", "b.onnx", "--json").json
    assert data["verdict"] == "structure differs: 1 changed"
    assert data["changes"][0]["details"] == [{"what": "attribute alpha", "a": "0.5", "b": "0.25"}]
    assert Ran(capsys, "diff", "a.onnx", "none.onnx").status == 2
    assert Ran(capsys, "diff", "a.onnx", "b.onnx", "--ignore", "nodes").status == 2
    np.save("x.npy", np.ones((1, 2), np.float32))
    fed = Ran(capsys, "diff", "a.onnx", "renamed.onnx", "--input", "x=x.npy", "--input", "c=true")
    assert fed.status == 0
    assert "equal within the tolerance" in fed.out


def test_what_a_file_is_called_does_not_reach_the_terminal_raw(files: Path, capsys: Any) -> None:
    proto = model()
    proto.graph.node[0].name = "\x1b[31mred\u202e"
    proto.graph.node[0].op_type = "Gemm\n  fake line"
    proto.metadata_props.add(key="\x1b[2J", value="\x1b[31m")
    onnx.save(proto, "hostile.onnx")
    out = Ran(capsys, "diff", "a.onnx", "hostile.onnx", "--all").out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\n  fake line" not in out


def test_what_is_no_model_or_no_part_is_refused() -> None:
    with pytest.raises(FileError, match="IX302"):
        ix.diff(b"no model", model())
    with pytest.raises(FileError, match="IX302"):
        ix.diff(model(), 3)
    with pytest.raises(UsageError, match="metadata"):
        ix.diff(model(), model(), ignore=["meta"])
