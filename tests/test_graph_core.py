"""The graph in memory: identity, names, uses, order."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interchange.dtypes import float32, int64
from interchange.errors import FileError
from interchange.graph import Attr, AttrType, Graph, ModelIR, Node, SparseTensor, Tensor, Value


def value(name: str) -> Value:
    return Value(name, float32, ("batch", 3))


def diamond() -> tuple[Graph, dict[str, Value]]:
    """x -> a -> (b, c) -> d, and an If in which `a` is read two levels down."""
    v = {name: value(name) for name in "xabcdeio"}
    deep = Graph("deep", [], [v["i"]], [Node("Neg", [v["a"]], [v["i"]])])
    then = Graph("then", [], [v["o"]], [Node("If", [v["x"]], [v["o"]], {"g": Attr.of(deep)})])
    nodes = [
        Node("Relu", [v["x"]], [v["a"]]),
        Node("Neg", [v["a"]], [v["b"]]),
        Node("Abs", [v["a"]], [v["c"]]),
        Node("Add", [v["b"], v["c"]], [v["d"]]),
        Node("If", [v["x"]], [v["e"]], {"then": Attr.of(then)}),
    ]
    return Graph("main", [v["x"]], [v["d"], v["e"]], nodes), v


def test_a_node_is_the_producer_of_its_outputs() -> None:
    a, b = value("a"), value("b")
    node = Node("Split", [value("x")], [a, b], domain="ai.onnx")
    assert (a.producer, a.index, b.producer, b.index) == (node, 0, node, 1)
    assert node.domain == ""


def test_looking_through_subgraphs() -> None:
    graph, v = diamond()
    assert [g.name for g in graph.all_graphs()] == ["main", "then", "deep"]
    assert [n.op_type for n in graph.walk()] == ["Relu", "Neg", "Abs", "Add", "If", "If", "Neg"]
    assert [(n.op_type, i) for n, i in graph.uses()[v["a"]]] == [("Neg", 0), ("Abs", 0), ("Neg", 0)]
    then = graph.nodes[-1].graphs()[0]
    assert then.free_values() == [v["x"], v["a"]]
    assert graph.free_values() == []
    assert list(graph.nodes[-1].reads()) == [v["x"], v["x"], v["a"]]
    assert {x.name for x in graph.values()} == set("xabcde")


def test_replacing_uses_reaches_subgraphs_and_leaves_outputs() -> None:
    graph, v = diamond()
    new = value("new")
    assert graph.replace_uses(v["a"], new) == 3
    assert v["a"] not in graph.uses()
    assert graph.replace_uses(v["d"], new) == 0
    assert graph.outputs[0] is v["d"]
    assert graph.replace_uses(v["d"], new, outputs=True) == 1
    assert graph.outputs[0] is new


def test_unique_names_see_subgraphs_and_what_is_added() -> None:
    graph, v = diamond()
    assert graph.unique_name("i") == "i_1"
    assert graph.unique_name("new") == "new"
    assert graph.unique_name("new") == "new_1"
    graph.append(Node("Neg", [v["d"]], [value("f")], name="node"))
    assert graph.unique_name("f") == "f_1"
    assert graph.unique_name("node") == "node_1"
    graph.add_initializer("w", np.ones(2, np.float32))
    assert graph.unique_name("w") == "w_1"
    assert graph.unique_name("") not in ("", *(x.name for x in graph.values()))


@given(st.permutations(range(5)))
def test_toposort_makes_an_order_and_keeps_one_that_is(order: list[int]) -> None:
    graph, _ = diamond()
    graph.nodes = [graph.nodes[i] for i in order]
    before = list(graph.nodes)
    moved = graph.toposort()
    position = {n: i for i, n in enumerate(graph.nodes)}
    for node in graph.nodes:
        assert all(position[x.producer] < position[node] for x in node.reads() if x.producer in position)
    assert moved == (before != graph.nodes)
    assert not graph.toposort()


def test_a_cycle_is_named() -> None:
    a, b = value("a"), value("b")
    graph = Graph("g", nodes=[Node("Neg", [b], [a], name="one"), Node("Abs", [a], [b], name="two")])
    with pytest.raises(FileError, match=r"'one'.*'two'|'two'.*'one'") as caught:
        graph.toposort()
    assert caught.value.code == "IX314"


def test_toposort_of_a_long_chain_does_not_recurse() -> None:
    values = [value(str(i)) for i in range(20001)]
    graph = Graph("g", values[:1], values[-1:])
    graph.nodes = [Node("Neg", [a], [b]) for a, b in pairwise(values)][::-1]
    assert graph.toposort()
    assert graph.nodes[0].inputs == values[:1]


@pytest.mark.parametrize(
    ("given", "kind", "kept"),
    [
        (3, AttrType.INT, 3),
        (True, AttrType.INT, 1),
        (np.int32(3), AttrType.INT, 3),
        (0.5, AttrType.FLOAT, 0.5),
        (np.float32(0.5), AttrType.FLOAT, 0.5),
        ("s", AttrType.STRING, "s"),
        (b"\xff", AttrType.STRING, b"\xff"),
        (int64, AttrType.INT, 7),
        ([1, 2], AttrType.INTS, [1, 2]),
        ((1, 2), AttrType.INTS, [1, 2]),
        ([1, 2.5], AttrType.FLOATS, [1.0, 2.5]),
        (["a"], AttrType.STRINGS, ["a"]),
    ],
)
def test_attributes_infer_their_type(given: object, kind: AttrType, kept: object) -> None:
    attr = Attr.of(given)
    assert (attr.type, attr.value) == (kind, kept)
    assert type(attr.value) is type(kept)


def test_attributes_of_data_and_graphs() -> None:
    assert Attr.of(np.ones(2)).type is AttrType.TENSOR
    assert Attr.of([np.ones(2), Tensor.of(np.ones(3))]).type is AttrType.TENSORS
    sparse = SparseTensor(Tensor.of(np.ones(1)), Tensor.of(np.zeros(1, np.int64)), (4,))
    assert Attr.of(sparse).type is AttrType.SPARSE_TENSOR
    assert Attr.of([Graph(), Graph()]).type is AttrType.GRAPHS
    assert Attr.of([], AttrType.FLOATS).type is AttrType.FLOATS
    assert Attr.of([1], AttrType.FLOATS).value == [1.0]
    assert Attr.of(1, AttrType.FLOAT).type is AttrType.FLOAT
    with pytest.raises(FileError, match="INT, where STRING was asked for"):
        Attr.of(1, AttrType.STRING)
    same = Attr.of(1)
    assert Attr.of(same) is same


@pytest.mark.parametrize("given", [[], None, [1, "a"], {1: 2}, object(), [[1]]])
def test_what_no_attribute_holds_is_refused(given: object) -> None:
    with pytest.raises(FileError, match="IX315"):
        Attr.of(given)


def test_the_text_of_a_model() -> None:
    graph, _ = diamond()
    graph.add_initializer("small", np.array([1.5], np.float32))
    graph.add_initializer("large", np.ones(100, np.float32))
    shown = str(ModelIR(graph))
    for line in (
        "graph main (x: float32[batch, 3]) -> (d: float32[batch, 3], e: float32[batch, 3]) {",
        "small: float32[1] = [1.5]",
        "large: float32[100] = <400 bytes>",
        "d: float32[batch, 3] = Add(b, c)",
        "then = graph then",
    ):
        assert line in shown


def test_the_graph_imports_neither_onnx_nor_what_stands_above_it() -> None:
    code = (
        "import sys; from interchange.graph import core, files, passes, proto;"
        "print([m for m in sys.modules if m.split('.')[0] in ('onnx', 'onnxruntime', 'rich', 'google')"
        " or m.startswith(('interchange.ops', 'interchange.eager', 'interchange.checker', 'interchange.runtime'))])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
