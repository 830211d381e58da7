"""What the runtime throws, said again with the node, the user's module and line, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from interchange.dtypes import name_of
from interchange.errors import InterchangeError
from interchange.graph.core import ModelIR, Node
from interchange.runtime.errors import LoadError, RunError

if TYPE_CHECKING:
    import onnx


class Place(NamedTuple):
    """Where a node comes from: its description, and the module and line that the exporter noted."""

    text: str
    op_type: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Places:
    """The nodes of a model by name, for messages."""

    by_name: dict[str, Place]
    by_output: dict[str, Place]

    def find(self, message: str) -> str | None:
        """The node that a message of the runtime talks about, as far as it is one of the model's own."""
        names = re.findall(r"Name:'([^']+)'|[Nn]ode with name '([^']+)'|[Nn]ode[ :]+\(?([\w./:-]+)\)?", message)
        for name in (n for found in names for n in found if n):
            place = self.by_name.get(name) or self.by_output.get(name) or self._fused(name)
            if place is not None:
                return str(place)
        return None

    def _fused(self, name: str) -> Place | None:
        """The runtime names a rewritten node after the old one: ``conv1_nchwc``, ``out_token_7``."""
        starts = [n for n in (*self.by_name, *self.by_output) if len(n) > 2 and name.startswith(n)]
        best = max(starts, key=len, default=None)
        return None if best is None else self.by_name.get(best) or self.by_output[best]


def places_of(model: ModelIR) -> Places:
    """Look at every node once."""
    by_name: dict[str, Place] = {}
    by_output: dict[str, Place] = {}
    for node in model.walk():
        place = Place(describe(node), node.op_type)
        if node.name:
            by_name[node.name] = place
        by_output.update((v.name, place) for v in node.outputs if v.name)
    return Places(by_name, by_output)


def describe(node: Node) -> str:
    """``node 'conv' (Conv), module encoder.0, model.py:12 in forward``."""
    module, line = node.metadata.get("interchange.module"), node.metadata.get("interchange.line")
    return ", ".join(t for t in (node.describe(), module and f"module {module}", line) if t)


def clean(error: BaseException) -> str:
    """The runtime's message without its prefix and its own file names."""
    text = re.split(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", str(error))[-1]  # the cause, where one holds another
    text = re.sub(r"^\w+\.cc:\d+ \w+ ", "", text)
    text = re.sub(r"\S*/(onnxruntime_src|onnxruntime)/\S+:\d+ .*?\)? ?(?=[A-Z(]|$)", "", text)
    return " ".join(text.split())[:600]


def run_error(error: Exception, places: Places, feeds: Iterable[tuple[str, object]]) -> InterchangeError:
    """The error for a model that failed while it ran."""
    text = clean(error)
    given = "; ".join(f"{n}: {_shape_text(v)}" for n, v in feeds)
    memory = "allocate memory" in text or "bad_alloc" in text
    fix = (
        "give a smaller batch"
        if memory
        else "look at what this node computes from these inputs; interchange check and interchange verify say more"
    )
    return RunError(
        "IX611",
        "the runtime failed while it ran the model",
        where=places.find(str(error)),
        found=text,
        expected=f"a result for {given}" if given else "a result",
        fix=fix,
    )


def _shape_text(value: object) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None:
        return type(value).__name__
    return f"{name_of(dtype)}[{', '.join(map(str, shape))}]"


def load_error(error: Exception, model: ModelIR, proto: onnx.ModelProto, where: str) -> InterchangeError:
    """The error for a model that the runtime refuses to load; proto: the same model as it is written."""
    import onnxruntime

    version = onnxruntime.__version__
    raw, text = str(error), clean(error)
    if match := re.search(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)", raw):
        return _too_new(f"IR version {match[1]}", f"IR version {match[2]} or lower", version, where)
    if match := re.search(r"Opset (\d+) is under development.*?domain ([\w.]*) is till opset (\d+)", raw, re.DOTALL):
        return _too_new(f"opset {match[1]} of {match[2]}", f"opset {match[3]} or lower", version, where)
    if match := re.search(r"Could not find an implementation for (\S+?)\((\d+)\) node with name '(.*?)'", raw):
        return _no_kernel(match[1], match[3], model, proto, version)
    if match := re.search(r"(?:Fatal error: |type )?(\S+?)(?:\(-?\d+\))? is not a registered function/op", raw):
        return LoadError(
            "IX622",
            f"onnxruntime {version} does not know the operator {match[1]}",
            where=_node(model, match[1]) or where,
            found=match[1],
            expected="operators of ONNX, of the runtime, or a local function of the model",
            fix="export it as a function of known operators, or use a runtime that was built with it",
        )
    return LoadError(
        "IX623",
        f"onnxruntime {version} refuses the model",
        where=places_of(model).find(raw) or where,
        found=text,
        expected="a model that it loads",
        fix="interchange check says what is wrong with it, with all findings at once",
    )


def _types_at(node: Node, proto: onnx.ModelProto) -> str:
    """``x: float64[2, 3], y: float64[2, 3]``: what goes in and out of a node, as far as it is known."""
    from interchange.checker.context import Context
    from interchange.checker.typetext import reader_text
    from interchange.graph import opening

    known = {
        n: t for types in Context(opening.in_memory(proto), None, "").inferred.types.values() for n, t in types.items()
    }
    names = [v.name for v in (*node.inputs, *node.outputs) if v is not None]
    return ", ".join(f"{n}: {reader_text(known[n])}" for n in names if n in known)


def _too_new(found: str, expected: str, version: str, where: str) -> LoadError:
    return LoadError(
        "IX620",
        f"the model is too new for onnxruntime {version}",
        where=where,
        found=found,
        expected=expected,
        fix=f'export it with target="onnxruntime=={version.rsplit(".", 1)[0]}", or update: pip install -U onnxruntime',
    )


def _node(model: ModelIR, op: str, name: str = "") -> str | None:
    op_type = re.split(r"[:.]", op)[-1]
    for node in model.walk():
        if node.op_type == op_type and (not name or node.name == name):
            return describe(node)
    return None


def _no_kernel(op: str, name: str, model: ModelIR, proto: onnx.ModelProto, version: str) -> LoadError:
    node = next((n for n in model.walk() if n.op_type == op and n.name == name), None)
    types = _types_at(node, proto) if node is not None else ""
    expected, fix = _kernels_there(op, proto, version) or (
        "an operator, version and dtypes for which the runtime has a kernel",
        "use another dtype (float32, int64) there, or a newer runtime",
    )
    return LoadError(
        "IX621",
        f"onnxruntime {version} has no CPU kernel for {op} with these dtypes at this opset",
        where=describe(node) if node is not None else f"a node {name!r} ({op})",
        found=types or f"{op} at opset {model.opsets.get('', '?')}",
        expected=expected,
        fix=fix,
    )


def _kernels_there(op: str, proto: onnx.ModelProto, version: str) -> tuple[str, str] | None:
    """What the release says of the first call of an operator that it refuses: what there is, and what to do."""
    from interchange.checker.context import Context
    from interchange.checker.deploy import predict
    from interchange.graph import opening
    from interchange.schemas.runtimes import releases, runtime
    from interchange.schemas.support import ways

    name = version.rpartition(".")[0]
    if name not in releases():
        return None
    found = predict(Context(opening.in_memory(proto), None, ""), [name]).refusals
    refusal = next((r for r in found if r.call.op == op.rpartition("::")[2]), None)
    if refusal is None:
        return None
    return refusal.verdicts[name].expected, ways(refusal.call, [runtime(name)]).text(refusal.call)
