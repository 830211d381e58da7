"""Small models for the tests of serving, written with the toolkit itself."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from interchange.serving.engine import Engine
from interchange.serving.settings import ModelSettings
from interchange.serving.trial import open_served

# the protocol's name of a datatype -> TensorProto's number
DTYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


def node_model(nodes, inputs, outputs, path: Path, *, opset: int = 20, initializers=(), metadata=None) -> Path:
    """A file with these nodes. inputs, outputs: (name, TensorProto type, shape) each."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*v) for v in inputs],
        [helper.make_tensor_value_info(*v) for v in outputs],
        list(initializers),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def scaled(path: Path, by: float = 2.0) -> Path:
    """``y = by * x``, for x: float32[batch, 3]."""
    factor = helper.make_tensor("by", TensorProto.FLOAT, [], [by])
    return node_model(
        [helper.make_node("Mul", ["x", "by"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", 3])],
        [("y", TensorProto.FLOAT, ["batch", 3])],
        path,
        initializers=[factor],
    )


def linear(path: Path, n_in: int = 64, n_out: int = 10) -> Path:
    """A perceptron with one hidden layer, x: float32[batch, n_in] -> y: float32[batch, n_out]."""
    rng = np.random.default_rng(1)
    w = helper.make_tensor("w", TensorProto.FLOAT, [n_in, 32], rng.standard_normal(n_in * 32).astype(np.float32))
    v = helper.make_tensor("v", TensorProto.FLOAT, [32, n_out], rng.standard_normal(32 * n_out).astype(np.float32))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    inputs = [("x", TensorProto.FLOAT, ["batch", n_in])]
    return node_model(nodes, inputs, [("y", TensorProto.FLOAT, ["batch", n_out])], path, initializers=[w, v])


def identity(path: Path, dtypes: dict[str, int]) -> Path:
    """Each input as an output: ``x_FP32 -> y_FP32``; dtypes: the protocol's name -> TensorProto's number."""
    return node_model(
        [helper.make_node("Identity", [f"x_{n}"], [f"y_{n}"]) for n in dtypes],
        [(f"x_{n}", t, ["batch", 2]) for n, t in dtypes.items()],
        [(f"y_{n}", t, ["batch", 2]) for n, t in dtypes.items()],
        path,
    )


def spinning(path: Path) -> Path:
    """As many turns of a Loop as the input says, for n: int64[1]: a run that takes as long as one likes."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Sin", ["v"], ["w"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [64]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [64]),
        ],
    )
    start = helper.make_tensor("start", TensorProto.FLOAT, [64], np.ones(64, np.float32))
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [0])
    nodes = [
        helper.make_node("Squeeze", ["n", "axis"], ["count"]),
        helper.make_node("Loop", ["count", "", "start"], ["y"], body=body),
    ]
    return node_model(
        nodes,
        [("n", TensorProto.INT64, [1])],
        [("y", TensorProto.FLOAT, [64])],
        path,
        initializers=[start, axis],
    )


@cache
def rng() -> np.random.Generator:
    """The same numbers in every run."""
    return np.random.default_rng(5)


def serve(test, path, **settings):
    """Run an asynchronous test with an engine that serves one model as "m"."""

    async def run():
        engine = Engine()
        served = await asyncio.to_thread(open_served, "m", "1", path, ModelSettings(**settings))
        engine.replace("m", [served])
        try:
            return await test(engine, served)
        finally:
            await engine.close()

    return asyncio.run(run())
