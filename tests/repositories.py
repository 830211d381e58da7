"""A repository of models on the disk and the engine that follows it, for tests."""

import asyncio
import itertools
import os

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array
from serving import node_model

from interchange.serving.engine import Engine
from interchange.serving.lifecycle import Lifecycle
from interchange.serving.settings import Settings
from tests import serving

ONE = np.ones((1, 3), np.float32)
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
_times = itertools.count(10**18, 10**9)


def scaled(path, by=2.0):
    """``y = by * x``, in a file that is newer than all before it (a clock of files may tick slowly)."""
    serving.scaled(path, by)
    touch(path)
    return path


def touch(path):
    os.utime(path, ns=(0, next(_times)))


def with_data(path):
    """Rows i of a table, which is in a file beside the model."""
    table = np.random.default_rng(0).random((20000, 64), np.float32)
    nodes = [helper.make_node("Gather", ["table", "i"], ["y"])]
    node_model(nodes, [("i", INT64, ["n"])], [("y", FLOAT, ["n", 64])], path, initializers=[from_array(table, "table")])
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location=f"{path.name}.data")
    return path


def deep(path, layers=300):
    """A model that takes a second to load."""
    weights = [np.full((128, 128), 1 / 128, np.float32) for _ in range(layers)]
    nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(layers)]
    initializers = [from_array(w, f"w{i}") for i, w in enumerate(weights)]
    ports = [("x0", FLOAT, ["n", 128])], [(f"x{layers}", FLOAT, ["n", 128])]
    return node_model(nodes, *ports, path, initializers=initializers)


def follow(test, root, opener=None, start=True, **settings):
    """Run an asynchronous test with an engine that serves a repository."""

    async def run():
        engine = Engine(Settings(**settings))
        lifecycle = Lifecycle(engine, root, opener=opener)
        if start:
            await lifecycle.start()
        try:
            return await test(lifecycle)
        finally:
            await lifecycle.close()
            await engine.close()

    return asyncio.run(run())


def states(lifecycle, name=None):
    return {(r["name"], r["version"]): r["state"] for r in lifecycle.index() if name in (None, r["name"])}


def reason(lifecycle, name, version="1"):
    return next(r["reason"] for r in lifecycle.index() if (r["name"], r["version"]) == (name, version))


async def answer(lifecycle, name="m", version=""):
    """What the model multiplies by."""
    return float((await lifecycle.engine.infer(name, {"x": ONE}, version=version))["y"][0, 0])


async def settle(lifecycle):
    """As many looks as it takes for what has been copied to be quiet, and followed."""
    for _ in range(4):
        await lifecycle.look()


def broken(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"this is no model")
    return path
