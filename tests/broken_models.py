"""Small models, each broken in one way: what to build, the code that has to be found, and the name it has to mention.

The list follows a study of 73 kinds of broken models, of which onnx's own checker passes 29 that ONNX Runtime refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

F, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name: str, dtype: int = F, shape: Sequence[Any] | None = (2, 3)) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], name: str = "bad_node", **attributes: Any) -> Any:
    return helper.make_node(op, inputs, outputs, name=name, **attributes)


def const(name: str, array: Any, dtype: Any = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(array, dtype), name)


def model(
    nodes: Sequence[Any],
    inputs: Sequence[Any] = (value("x"),),
    outputs: Sequence[Any] = (value("y"),),
    initializers: Sequence[Any] = (),
    *,
    opsets: dict[str, int] | None = None,
    infos: Sequence[Any] = (),
    functions: Sequence[Any] = (),
    ir_version: int = 10,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "main", inputs, outputs, initializers, value_info=infos)
    imports = [helper.make_opsetid(d, v) for d, v in (opsets or {"": 21}).items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version, functions=functions)


def relu(**kw: Any) -> onnx.ModelProto:
    """The control: a valid model."""
    return model([node("Relu", ["x"], ["y"], "ok")], **kw)


@dataclass(frozen=True)
class Case:
    """build: makes the model (given an empty folder it may save there and return the path)."""

    title: str
    code: str
    mentions: str
    build: Callable[[Path], Any]


CASES: list[Case] = []


def case(title: str, code: str, mentions: str) -> Callable[[Callable[..., Any]], None]:
    def add(build: Callable[..., Any]) -> None:
        takes = build.__code__.co_argcount
        CASES.append(Case(title, code, mentions, build if takes else lambda _: build()))

    return add


def one(title: str, code: str, mentions: str, *nodes: Any, **kw: Any) -> None:
    """A case that is nodes with inputs, outputs and initializers."""
    CASES.append(Case(title, code, mentions, lambda _: model(nodes, **kw)))


# -- values -----------------------------------------------------------------------------------------------------------
one("undefined input value", "IX506", "'ghost'", node("Add", ["x", "ghost"], ["y"]))
one(
    "nodes not in order",
    "IX507",
    "'late'",
    node("Relu", ["late"], ["y"]),
    node("Neg", ["x"], ["late"], "n"),
)
one("cycle", "IX508", "'one'", node("Add", ["x", "b"], ["a"], "one"), node("Add", ["a", "x"], ["b"], "two"),
    outputs=[value("b")])  # fmt: skip
one("a node that needs its own output", "IX508", "'self'", node("Add", ["x", "y"], ["y"], "self"))
one("a value made twice", "IX509", "'y'", node("Relu", ["x"], ["y"], "one"), node("Neg", ["x"], ["y"], "two"))
one("duplicate node names", "IX510", "'same'", node("Relu", ["x"], ["h"], "same"), node("Neg", ["h"], ["y"], "same"))
one("output never produced", "IX514", "'z'", node("Relu", ["x"], ["y"]), outputs=[value("y"), value("z")])
one("duplicate input name", "IX511", "'x'", node("Relu", ["x"], ["y"]), inputs=[value("x"), value("x")])
one(
    "duplicate initializer",
    "IX512",
    "'w'",
    node("Add", ["x", "w"], ["y"]),
    initializers=[const("w", [1]), const("w", [2])],
)
one(
    "an initializer that a node makes",
    "IX513",
    "'y'",
    node("Relu", ["x"], ["y"]),
    initializers=[const("y", np.ones((2, 3)))],
)
one("no outputs", "IX515", "outputs", node("Relu", ["x"], ["y"]), outputs=[])


@case("a graph input without a type", "IX519", "'x'")
def _() -> Any:
    m = relu()
    m.graph.input[0].ClearField("type")
    return m


@case("a graph output without a type", "IX519", "'y'")
def _() -> Any:
    m = relu()
    m.graph.output[0].ClearField("type")
    return m


@case("negative size in an input type", "IX525", "'x'")
def _() -> Any:
    return relu(inputs=[value("x", F, [-5, 3])], outputs=[value("y", F, [-1, 3])])


@case("input without a name", "IX526", "an input")
def _() -> Any:
    return relu(inputs=[value("x", F, [2]), value("", F, [2])], outputs=[value("y", F, [2])])


@case("initializer without a name", "IX526", "an initializer")
def _() -> Any:
    return relu(initializers=[const("", [1.0])])


def sparse_sum(values: list[float], indices: Any) -> Any:
    """y = x + w, where w: float32[2, 3] is sparse."""
    at = const("at", indices, np.int64)
    w = helper.make_sparse_tensor(const("w", values), at, [2, 3])
    m = model([node("Add", ["x", "w"], ["y"])])
    m.graph.sparse_initializer.append(w)
    return m


@case("a sparse index out of range", "IX530", "from 0 to 40")
def _() -> Any:
    return sparse_sum([1, 2], [0, 40])


@case("a negative sparse index", "IX530", "from -1 to 4")
def _() -> Any:
    return sparse_sum([1, 2], [4, -1])


@case("a sparse index that is given twice", "IX530", "twice")
def _() -> Any:
    return sparse_sum([1, 2], [[0, 1], [0, 1]])


@case("fewer sparse values than indices", "IX530", "int64[2]")
def _() -> Any:
    return sparse_sum([1], [0, 4])


@case("a sparse constant of a node", "IX530", "attribute sparse_value")
def _() -> Any:
    bad = sparse_sum([1, 2], [0, 40]).graph.sparse_initializer[0]
    return model([node("Constant", [], ["w"], "c", sparse_value=bad), node("Add", ["x", "w"], ["y"])])


# -- data -------------------------------------------------------------------------------------------------------------
@case("raw_data shorter than dims", "IX530", "'w'")
def _() -> Any:
    w = const("w", [1, 2, 3])
    w.raw_data = w.raw_data[:8]
    return model([node("Add", ["x", "w"], ["y"])], initializers=[w])


@case("float_data with too few elements", "IX530", "'w'")
def _() -> Any:
    w = TensorProto(name="w", data_type=F, dims=[3], float_data=[1, 2])
    return model([node("Add", ["x", "w"], ["y"])], initializers=[w])


@case("an element type that does not exist", "IX531", "'w'")
def _() -> Any:
    return model([node("Add", ["x", "w"], ["y"])], initializers=[TensorProto(name="w", data_type=99, dims=[0])])


def external(folder: Path, size: int, **entries: Any) -> Path:
    """A model whose weight w: float32[3] stands in w.bin of `size` bytes."""
    (folder / "w.bin").write_bytes(bytes(size))
    w = TensorProto(name="w", data_type=F, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, text in {"location": "w.bin", **entries}.items():
        w.external_data.add(key=key, value=str(text))
    path = folder / "m.onnx"
    path.write_bytes(model([node("Add", ["x", "w"], ["y"])], initializers=[w]).SerializeToString())
    return path


@case("a data file that is missing", "IX533", "'w'")
def _(folder: Path) -> Any:
    return external(folder, 12, location="gone.bin")


@case("external data shorter than the tensor", "IX534", "'w'")
def _(folder: Path) -> Any:
    return external(folder, 8)


@case("external length disagrees with dims", "IX534", "'w'")
def _(folder: Path) -> Any:
    return external(folder, 64, length=16)


@case("external offset past the end", "IX534", "'w'")
def _(folder: Path) -> Any:
    return external(folder, 12, offset=4096)


@case("external path escapes the folder", "IX532", "'../w.bin'")
def _(folder: Path) -> Any:
    return external(folder, 12, location="../w.bin")


@case("external location absolute", "IX532", "'/etc/passwd'")
def _(folder: Path) -> Any:
    return external(folder, 12, location="/etc/passwd")


# -- versions ---------------------------------------------------------------------------------------------------------
@case("IR version too new", "IX501", "IR version 99")
def _() -> Any:
    return relu(ir_version=99)


@case("opset too new", "IX504", "opset 99")
def _() -> Any:
    return relu(opsets={"": 99})


@case("no opset import", "IX502", "versions")
def _() -> Any:
    m = relu()
    del m.opset_import[:]
    return m


@case("one domain imported twice", "IX503", "imported twice")
def _() -> Any:
    m = relu()
    m.opset_import.add(domain="", version=13)
    return m


one("custom domain not imported", "IX505", "'bad_node'", node("Foo", ["x"], ["y"], domain="my.dom"))


@case("empty graph name", "IX518", "no name")
def _() -> Any:
    m = relu()
    m.graph.name = ""
    return m


# -- schema -----------------------------------------------------------------------------------------------------------
one("unknown operator", "IX540", "'bad_node'", node("Relo", ["x"], ["y"]))
one("unknown operator, custom domain imported", "IX543", "'bad_node'", node("Foo", ["x"], ["y"], domain="my.dom"),
    opsets={"": 21, "my.dom": 1})  # fmt: skip
one("operator newer than the opset", "IX541", "'bad_node'", node("Gelu", ["x"], ["y"]), opsets={"": 13})
one("deprecated operator", "IX542", "'bad_node'", node("Upsample", ["x", "s"], ["y"]), outputs=[value("y", F, None)],
    initializers=[const("s", [1, 1])])  # fmt: skip
one("unknown attribute", "IX544", "'alpha'", node("Relu", ["x"], ["y"], alpha=1.0))
one("axes attribute on ReduceSum of opset 21", "IX544", "input axes", node("ReduceSum", ["x"], ["y"], axes=[0]),
    outputs=[value("y", F, None)])  # fmt: skip
one("missing required attribute", "IX545", "'to'", node("Cast", ["x"], ["y"]))
one("attribute of another type", "IX546", "axis", node("Softmax", ["x"], ["y"], axis=1.5))
one("attribute value out of set", "IX547", "'reflekt'", node("Pad", ["x", "p"], ["y"], mode="reflekt"),
    initializers=[const("p", [0, 0, 1, 1], np.int64)], outputs=[value("y", F, None)])  # fmt: skip
one("a Constant with two values", "IX551", "'bad_node'", node("Constant", [], ["c"], value_int=1, value_float=1.0),
    node("Relu", ["x"], ["y"], "ok"))  # fmt: skip
one("too few inputs", "IX548", "'bad_node'", node("Add", ["x"], ["y"]))
one("too many inputs", "IX548", "'bad_node'", node("Relu", ["x", "x"], ["y"]))
one("too many outputs", "IX549", "'bad_node'", node("Relu", ["x"], ["y", "z"]))


@case("one attribute twice", "IX550", "'axis'")
def _() -> Any:
    bad = node("Softmax", ["x"], ["y"], axis=1)
    bad.attribute.add().CopyFrom(bad.attribute[0])
    return model([bad])


# -- types and shapes -------------------------------------------------------------------------------------------------
def two(a: Any, b: Any, out: Any = None) -> dict[str, Any]:
    return {"inputs": [value("x", *a), value("w", *b)], "outputs": [out or value("y", F, None)]}


one("axis out of range", "IX562", "'bad_node'", node("Softmax", ["x"], ["y"], axis=5))
one("two dtypes for one T", "IX560", "w: int64", node("Add", ["x", "w"], ["y"]), **two((F, (2, 3)), (I64, (2, 3))))
one("dtype not allowed", "IX560", "x: bool", node("Relu", ["x"], ["y"]), inputs=[value("x", BOOL)])
one(
    "MatMul inner dims differ",
    "IX562",
    "w: float32[4, 5]",
    node("MatMul", ["x", "w"], ["y"]),
    **two((F, (2, 3)), (F, (4, 5))),
)
one(
    "Add not broadcastable",
    "IX562",
    "x: float32[2, 3]",
    node("Add", ["x", "w"], ["y"]),
    **two((F, (2, 3)), (F, (2, 4))),
)
one("Conv channels", "IX563", "x: float32[1, 3, 8, 8]", node("Conv", ["x", "w"], ["y"]),
    **two((F, (1, 3, 8, 8)), (F, (4, 2, 3, 3))))  # fmt: skip
one("Conv groups", "IX563", "'bad_node'", node("Conv", ["x", "w"], ["y"], group=2),
    **two((F, (1, 4, 8, 8)), (F, (5, 2, 3, 3))))  # fmt: skip
one("BatchNormalization scale of another length", "IX562", "'bad_node'",
    node("BatchNormalization", ["x", "s", "s", "s", "s"], ["y"]), inputs=[value("x", F, (1, 3, 4, 4))],
    outputs=[value("y", F, None)], initializers=[const("s", [1, 1])])  # fmt: skip
one("Reshape to another number of elements", "IX564", "'bad_node'", node("Reshape", ["x", "s"], ["y"]),
    outputs=[value("y", F, None)], initializers=[const("s", [4, 5], np.int64)])  # fmt: skip
one("Reshape by a computed shape", "IX564", "'bad_node'", node("Shape", ["w"], ["s"], "shape"),
    node("Reshape", ["x", "s"], ["y"]), **two((F, (2, 3)), (F, (7,))))  # fmt: skip
one(
    "Concat dims differ",
    "IX562",
    "'bad_node'",
    node("Concat", ["x", "w"], ["y"], axis=0),
    **two((F, (2, 3)), (F, (2, 4))),
)
one(
    "Transpose repeats an axis",
    "IX562",
    "'bad_node'",
    node("Transpose", ["x"], ["y"], perm=[0, 0]),
    outputs=[value("y", F, None)],
)
one("Squeeze of a size that is not 1", "IX562", "'bad_node'", node("Squeeze", ["x", "a"], ["y"]),
    outputs=[value("y", F, None)], initializers=[const("a", [0], np.int64)])  # fmt: skip
one("constant Gather index out of range", "IX565", "9", node("Gather", ["x", "i"], ["y"]),
    outputs=[value("y", F, None)], initializers=[const("i", [9], np.int64)])  # fmt: skip
one(
    "Einsum equation",
    "IX562",
    "'bad_node'",
    node("Einsum", ["x"], ["y"], equation="ijk->i"),
    outputs=[value("y", F, None)],
)
one("declared output dtype", "IX566", "'y'", node("Relu", ["x"], ["y"]), outputs=[value("y", I64)])
one("declared output shape", "IX567", "float32[2, 4]", node("Relu", ["x"], ["y"]), outputs=[value("y", F, (2, 4))])
one("declared output rank", "IX567", "float32[6]", node("Relu", ["x"], ["y"]), outputs=[value("y", F, (6,))])
one("value_info of an inner value", "IX566", "'h'", node("Relu", ["x"], ["h"], "one"), node("Neg", ["h"], ["y"], "two"),
    infos=[value("h", I64)])  # fmt: skip
one("a symbol that lies", "IX568", "'y'", node("Identity", ["x"], ["y"]),
    **two((F, ("N", 3)), (F, ("M", 3)), value("y", F, ("M", 3))))  # fmt: skip
one("a size that is not always so", "IX568", "'y'", node("Identity", ["x"], ["y"]), inputs=[value("x", F, ("N", 3))],
    outputs=[value("y", F, (1, 3))])  # fmt: skip
one("another name for one size", "IX571", "'y'", node("Identity", ["x"], ["y"]), inputs=[value("x", F, ("N", 3))],
    outputs=[value("y", F, ("rows", 3))])  # fmt: skip
one("BatchNormalization in training mode with one output", "IX562", "'bad_node'",
    node("BatchNormalization", ["x", "s", "s", "s", "s"], ["y"], training_mode=1), inputs=[value("x", F, (1, 3, 4, 4))],
    outputs=[value("y", F, None)], initializers=[const("s", [1, 1, 1])])  # fmt: skip


# -- subgraphs --------------------------------------------------------------------------------------------------------
def branch(nodes: Sequence[Any], outputs: Sequence[Any], name: str = "branch") -> onnx.GraphProto:
    return helper.make_graph(nodes, name, [], outputs)


def condition(
    then: onnx.GraphProto, other: onnx.GraphProto | None = None, *more: Any, outputs: Sequence[str] = ("y",)
) -> Any:
    good = branch([node("Neg", ["x"], ["other"], "neg")], [value("other")])
    nodes = [node("If", ["c"], list(outputs), then_branch=then, else_branch=other or good), *more]
    return model(nodes, [value("c", BOOL, ()), value("x")], [value(o) for o in outputs])


@case("a subgraph reads an undefined value", "IX506", "'ghost'")
def _() -> Any:
    return condition(branch([node("Relu", ["ghost"], ["then"], "inner")], [value("then")]))


@case("a subgraph reuses an outer name", "IX516", "'c'")
def _() -> Any:
    return condition(branch([node("Neg", ["x"], ["c"], "inner"), node("Relu", ["c"], ["then"], "r")], [value("then")]))


@case("a subgraph hands an outer value through", "IX517", "'x'")
def _() -> Any:
    return condition(branch([], [value("x")]))


@case("an outer node reads a subgraph's value", "IX506", "'then'")
def _() -> Any:
    then = branch([node("Relu", ["x"], ["then"], "inner")], [value("then")])
    m = condition(then, None, node("Relu", ["then"], ["z"], "outside"))
    m.graph.output.append(value("z"))
    return m


@case("If branches of different dtypes", "IX569", "'bad_node'")
def _() -> Any:
    return condition(branch([node("Cast", ["x"], ["then"], "cast", to=I64)], [value("then", I64)]))


@case("If branches of different numbers of outputs", "IX570", "'bad_node'")
def _() -> Any:
    return condition(
        branch([node("Relu", ["x"], ["t"], "a"), node("Neg", ["x"], ["u"], "b")], [value("t"), value("u")])
    )


@case("Loop body of another arity", "IX570", "'bad_node'")
def _() -> Any:
    body = helper.make_graph(
        [node("Identity", ["go"], ["go_on"], "i")], "body", [value("i", I64, ()), value("go", BOOL, ())],
        [value("go_on", BOOL, ())],
    )  # fmt: skip
    return model([node("Loop", ["n", "", "x"], ["y"], body=body)], [value("n", I64, ()), value("x")])


@case("a mistake inside a Loop body", "IX562", "'inner'")
def _() -> Any:
    body = helper.make_graph(
        [node("Identity", ["go"], ["go_on"], "i"), node("MatMul", ["h", "x"], ["h2"], "inner")], "body",
        [value("i", I64, ()), value("go", BOOL, ()), value("h")], [value("go_on", BOOL, ()), value("h2", F, None)],
    )  # fmt: skip
    return model([node("Loop", ["n", "", "x"], ["y"], body=body)], [value("n", I64, ()), value("x")])


# -- functions --------------------------------------------------------------------------------------------------------
def calling(nodes: Sequence[Any], inputs: Sequence[str] = ("x",), **attributes: Any) -> onnx.ModelProto:
    function = helper.make_function(
        "my.dom", "Fn", ["a"], ["b"], nodes, [helper.make_opsetid("", 21), helper.make_opsetid("my.dom", 1)]
    )
    call = node("Fn", list(inputs), ["y"], "call", domain="my.dom", **attributes)
    return model([call], functions=[function], opsets={"": 21, "my.dom": 1})


@case("a function calls an unknown operator", "IX540", "'inner'")
def _() -> Any:
    return calling([node("Relo", ["a"], ["b"], "inner")])


@case("a function calls itself", "IX521", "my.dom::Fn")
def _() -> Any:
    return calling([node("Fn", ["a"], ["b"], "inner", domain="my.dom")])


@case("a function called with too many inputs", "IX522", "'call'")
def _() -> Any:
    return calling([node("Relu", ["a"], ["b"], "inner")], ["x", "x"])


@case("a mistake inside a function, seen from its call", "IX562", "'inner'")
def _() -> Any:
    return calling([node("MatMul", ["a", "a"], ["b"], "inner")])


@case("a function defined twice", "IX523", "my.dom::Fn")
def _() -> Any:
    m = calling([node("Relu", ["a"], ["b"], "inner")])
    m.functions.add().CopyFrom(m.functions[0])
    return m


@case("a reference to an attribute outside of a function", "IX524", "'alpha'")
def _() -> Any:
    bad = node("LeakyRelu", ["x"], ["y"])
    bad.attribute.add(name="alpha", ref_attr_name="alpha", type=onnx.AttributeProto.FLOAT)
    return model([bad])


# -- metadata ---------------------------------------------------------------------------------------------------------
def noted(key: str, text: str) -> onnx.ModelProto:
    m = relu(inputs=[value("x", F, ("batch", 3))], outputs=[value("y", F, ("batch", 3))])
    m.metadata_props.add(key=f"interchange.{key}", value=text)
    return m


@case("guards that are not JSON", "IX590", "interchange.guards")
def _() -> Any:
    return noted("guards", "[{")


@case("a guard that cannot be read", "IX590", "interchange.guards")
def _() -> Any:
    return noted("guards", '[{"condition": "import os", "why": ""}]')


@case("a guard about a size that no input has", "IX591", "'time'")
def _() -> Any:
    return noted("guards", '[{"condition": "time%4 == 0", "why": ""}]')


@case("state that starts at no value", "IX591", "'x'")
def _() -> Any:
    return noted("state", '[{"name": "x", "output": "y"}]')


@case("a constant that nothing reads", "IX595", "'left'")
def _() -> Any:
    return relu(initializers=[const("left", [1.0])])


@case("text that is not UTF-8", "IX500", "UTF-8")
def _() -> Any:
    return relu().SerializeToString().replace(b"bad_node", b"bad\xff\xfe\xfd\xfc\xfb").replace(b"ok", b"\xff\xfe")
