"""ONNX's node tests, changed at random: what a checker says to them is held against what a runtime does.

One change each: an attribute dropped or changed, an input dropped, a size, a rank or a dtype changed, another opset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from node_suite import node_suite

Rng = np.random.Generator
_NUMBERS = (-2, -1, 0, 1, 2, 3, 5)
_PLAIN = "?bBhHiIlLqQefdOSU"  # what numpy writes to a file by itself: no bfloat16, no float8, no int4


def _drop_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    _, attributes = _some_node(model, rng)
    del attributes[int(rng.integers(len(attributes)))]


def _change_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    node, attributes = _some_node(model, rng)
    attribute = attributes[int(rng.integers(len(attributes)))]
    number = _NUMBERS[int(rng.integers(len(_NUMBERS)))]
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i = number
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = number
    elif attribute.type == onnx.AttributeProto.STRING:
        allowed = _allowed(model, node, attribute.name)
        attribute.s = (allowed[int(rng.integers(len(allowed)))] if allowed else "x").encode()
    else:
        values = next(f for f in (attribute.ints, attribute.floats, attribute.strings) if len(f))
        at = int(rng.integers(len(values)))
        if rng.integers(2) or attribute.type == onnx.AttributeProto.STRINGS:
            del values[at]
        else:
            values[at] = number


def _drop_input(model: onnx.ModelProto, rng: Rng) -> None:
    node = model.graph.node[int(rng.integers(len(model.graph.node)))]
    at = int(rng.integers(len(node.input)))
    node.input[at] = ""
    while node.input and not node.input[-1]:
        del node.input[-1]


def _change_size(model: onnx.ModelProto, rng: Rng) -> None:
    dims = _some_dims(model, rng)
    at = int(rng.integers(len(dims)))
    dims[at].dim_value = max(0, dims[at].dim_value + int(rng.choice([-2, -1, 1, 2])))


def _change_rank(model: onnx.ModelProto, rng: Rng) -> None:
    dims = _some_dims(model, rng)
    if rng.integers(2):
        del dims[int(rng.integers(len(dims)))]
    else:
        dims.add(dim_value=int(rng.integers(1, 3)))


def _change_dtype(model: onnx.ModelProto, rng: Rng) -> None:
    """All inputs and outputs of one dtype get another one."""
    tensors = [v.type.tensor_type for v in (*model.graph.input, *model.graph.output)]
    old = next(t.elem_type for t in tensors if t.elem_type)
    new = int(rng.integers(1, 17))
    for tensor in tensors:
        if tensor.elem_type == old:
            tensor.elem_type = new


def _change_opset(model: onnx.ModelProto, rng: Rng) -> None:
    entry = next(o for o in model.opset_import if not o.domain)
    entry.version = int(rng.integers(7, 27))


CHANGES: tuple[Callable[[onnx.ModelProto, Rng], None], ...] = (
    *(_drop_attribute, _change_attribute, _change_attribute, _drop_input),
    *(_change_size, _change_size, _change_rank, _change_dtype, _change_opset),
)


def _some_node(model: onnx.ModelProto, rng: Rng) -> tuple[onnx.NodeProto, Any]:
    """A node that has attributes beside subgraphs and tensors, and its attributes."""
    kinds = (0, onnx.AttributeProto.GRAPH, onnx.AttributeProto.TENSOR, onnx.AttributeProto.TYPE_PROTO)
    nodes = [n for n in model.graph.node if any(a.type not in kinds for a in n.attribute)]
    node = nodes[int(rng.integers(len(nodes)))]
    return node, node.attribute


def _some_dims(model: onnx.ModelProto, rng: Rng) -> Any:
    shapes = [v.type.tensor_type.shape.dim for v in model.graph.input]
    shapes = [s for s in shapes if len(s)]
    return shapes[int(rng.integers(len(shapes)))]


def _allowed(model: onnx.ModelProto, node: onnx.NodeProto, name: str) -> Sequence[str]:
    from interchange import schemas

    version = next((o.version for o in model.opset_import if o.domain == node.domain), 1)
    attribute = schemas.schema(node.op_type, version, node.domain).attributes.get(name)
    return [str(a) for a in attribute.allowed or ()] if attribute is not None else ()


# -- models -----------------------------------------------------------------------------------------------------------
def mutants(seed: int, count: int) -> Iterator[tuple[str, onnx.ModelProto, list[Any]]]:
    """(name, model, data for its inputs, [] for data that is not plain); the same ones for a seed."""
    rng = np.random.default_rng(seed)
    tests = list(node_suite().values())
    made = 0
    while made < count:
        test = tests[int(rng.integers(len(tests)))]
        change = CHANGES[int(rng.integers(len(CHANGES)))]
        model = onnx.ModelProto()
        model.CopyFrom(test.model)
        for output in model.graph.output:  # what follows from a change is no mistake of its own
            output.type.tensor_type.ClearField("shape") if output.type.HasField("tensor_type") else None
        try:
            change(model, rng)
        except (IndexError, ValueError, StopIteration):  # there is nothing of the kind in it
            continue
        made += 1
        yield f"{made:05}_{test.name}_{change.__name__.strip('_')}", model, _feeds(test, model, rng)


def _feeds(test: Any, model: onnx.ModelProto, rng: Rng) -> list[Any]:
    """The test's own data, cut and repeated to the sizes that the model declares, in its dtypes."""
    data = test.data_sets[0][0] if test.data_sets else []
    feeds = []
    for value, given in zip(model.graph.input, data, strict=False):
        tensor = value.type.tensor_type
        if not isinstance(given, np.ndarray) or not tensor.elem_type:
            return []
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        if dtype.char not in _PLAIN or given.dtype.char not in _PLAIN:
            return []
        dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
        if len(dims) == given.ndim:
            dims = [n if d is None else d for d, n in zip(dims, given.shape, strict=True)]
        array = given
        if dims != list(given.shape):
            array = np.resize(given, [1 if d is None else d for d in dims])
        try:
            with np.errstate(invalid="ignore", over="ignore"):
                feeds.append(array if array.dtype == dtype or dtype.kind == "O" else array.astype(dtype))
        except (TypeError, ValueError):  # texts that are no numbers
            return []
    return feeds if len(feeds) == len(model.graph.input) else []


def write(folder: Path, name: str, model: onnx.ModelProto, feeds: list[Any]) -> None:
    """``name.onnx``, and ``name.npz`` with its data if there is any."""
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    if feeds or not model.graph.input:
        arrays = {v.name: f for v, f in zip(model.graph.input, feeds, strict=True)}
        np.savez(folder / f"{name}.npz", **arrays)
