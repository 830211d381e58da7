"""Models and files for the tests of pipelines."""

import asyncio

import numpy as np
from onnx import TensorProto, helper
from serving import node_model, scaled

from interchange.serving.engine import Engine
from interchange.serving.pipelines import Pipelines
from interchange.serving.settings import ModelSettings, Settings
from interchange.serving.trial import open_served

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def op(path, kind, names=("a", "b"), out="y", shape=("batch", 3), dtype=FLOAT, out_dtype=None, **attributes):
    """A model of one node, all of whose inputs have one shape."""
    return node_model(
        [helper.make_node(kind, list(names), [out], **attributes)],
        [(n, dtype, list(shape)) for n in names],
        [(out, out_dtype or dtype, list(shape))],
        path,
    )


def models(folder):
    """double: y = 2x; half: y = x/2; add: s = a + b; ints: another dtype; wide: float32[n, 5]; flat: one axis."""
    return {
        "double": scaled(folder / "double.onnx"),
        "half": scaled(folder / "half.onnx", 0.5),
        "add": op(folder / "add.onnx", "Add", out="s", shape=("n", 3)),
        "ints": op(folder / "ints.onnx", "Neg", ("x",), dtype=INT64),
        "wide": op(folder / "wide.onnx", "Neg", ("x",), shape=("n", 5)),
        "flat": op(folder / "flat.onnx", "Neg", ("x",), shape=("n",)),
        "open": op(folder / "open.onnx", "Neg", ("x",), shape=("n", "m")),
        "four": op(folder / "four.onnx", "Neg", ("x",), shape=(4, 3)),
        "six": op(folder / "six.onnx", "Neg", ("x",), shape=(6, 3)),
    }


DIAMOND = """
inputs = ["image"]
outputs = {sum = "join.s", first = "left.y"}

[steps.join]
model = "add"
inputs = {a = "left.y", b = "right.y"}
[steps.left]
model = "double"
inputs = {x = "image"}
[steps.right]
model = "half"
version = "1"
inputs = {x = "image"}
"""


TWO = (
    'inputs = ["x"]\noutputs = {{y = "b.y"}}\n[steps.a]\nmodel = "{}"\ninputs = {{x = "x"}}\n[steps.b]\nmodel = "{}"\n'
)
TWO += 'inputs = {{x = "a.y"}}\n'


def served(test, tmp_path, files, only=("double", "half", "add"), **options):
    """Run an asynchronous test with an engine of these models and pipelines. files: name -> text."""

    async def run():
        engine = Engine(Settings(defaults=ModelSettings(**options)))
        for name, path in models(tmp_path).items():
            if name in only:
                opened = await asyncio.to_thread(open_served, name, "1", path, engine.settings.of(name))
                engine.replace(name, [opened])
        paths = {n: tmp_path / f"{n}.toml" for n in files}
        for name, text in files.items():
            paths[name].write_text(text)
        pipelines = Pipelines(engine)
        await pipelines.follow(paths)
        try:
            return await test(engine, pipelines)
        finally:
            await engine.close()

    return asyncio.run(run())


def rows(count, value=1.0):
    return np.full((count, 3), value, np.float32)
