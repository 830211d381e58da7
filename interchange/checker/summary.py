"""What a model is, as plain data: signature, size, operators, parameters, work, where it runs."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from interchange.checker.context import Context, NodeRef, domain_of
from interchange.checker.rules.hygiene import damage
from interchange.checker.texts import bad_text_of
from interchange.checker.typetext import reader_text
from interchange.dims import Dim, DimLike, Guard, evaluate, product, symbols
from interchange.dtypes import from_onnx, nbytes
from interchange.errors import FileError, UsageError
from interchange.graph import opening
from interchange.graph.notes import read_note
from interchange.graph.sizes import SizeNames
from interchange.graph.tensor import MAX_SIZE

Sizes = Mapping[str, int]
Shape = list[DimLike] | None


def summarize(path: str | os.PathLike[str], sizes: Sizes | None = None) -> dict[str, Any]:
    """The facts about a model file, for `interchange show`.

    sizes: values for named sizes, which the number of multiply-adds is then given for; the rest stay names in it.
    Raises FileError for what is no model, IX302 for text that is not UTF-8 among them.
    """
    written = opening.read(path)
    proto, folder = written.proto, written.folder
    bad = bad_text_of(proto)
    if bad is not None:
        raise FileError(
            "IX302",
            "the model holds text that is not UTF-8",
            where=os.fspath(path),
            found=f"{bad[0]} = {bad[1][:60]!r}",
            expected="UTF-8 in every name, doc string and metadata entry",
            fix="the file is damaged or hostile: get it again from its source",
        )
    ctx = Context(written, None, os.fspath(path))
    given = set(ctx.main.initializers)
    graph, notes = proto.graph, {e.key: e.value for e in proto.metadata_props}
    weights = [t for scope in ctx.scopes if not scope.is_function for t in scope.proto.initializer]
    data_files = {e.value for t in weights for e in t.external_data if e.key == "location"}
    source = _json(notes, "source", {})
    return {
        "model": {
            "name": graph.name,
            "doc": proto.doc_string.strip().split("\n")[0],
            "made by": f"{proto.producer_name} {proto.producer_version}".strip(),
            "source": ", ".join(f"{k} {v}" for k, v in source.items() if v),
            "opsets": ", ".join(f"{d or 'ai.onnx'} {v}" for d, v in ctx.opsets.items()),
            "IR version": proto.ir_version,
            "file": f"{os.path.getsize(path):,} bytes",
            "data files": ", ".join(f"{n} ({_size(folder, n)})" for n in sorted(data_files)),
            "nodes": sum(len(s.nodes) for s in ctx.scopes),
            "functions": len(proto.functions),
        },
        "inputs": [f"{v.name}: {reader_text(v.type)}" for v in graph.input if v.name not in given],
        "outputs": [f"{v.name}: {reader_text(v.type)}" for v in graph.output],
        "state": _json(notes, "state", []),
        "dims": _json(notes, "dims", {}),
        "guards": [Guard.from_dict(g).to_dict() for g in _json(notes, "guards", [])],
        "parameters": sum(_elements(t) for t in weights),
        "parameter_bytes": sum(nbytes(d, _elements(t)) for t in weights if (d := from_onnx(t.data_type))),
        "macs": _work(ctx, _size_names(ctx, sizes or {}), sizes or {}),
        "operators": dict(Counter(n.op for n in ctx.nodes()).most_common()),
        "runs_in": _runs_in(ctx),
        "detours": _json(notes, "detours", []),
        "evidence": _json(notes, "evidence", None),
        "metadata": {k: v for k, v in notes.items() if not k.startswith("interchange.")},
    }


def _elements(tensor: Any) -> int:
    """0 for dims that no tensor can have: `check` tells of them."""
    count = math.prod(tensor.dims)
    return count if 0 <= count <= MAX_SIZE else 0


def _json(notes: Mapping[str, str], key: str, default: Any) -> Any:
    damaged = damage(key, notes.get(f"interchange.{key}", ""))  # or missing; `check` tells of what is damaged
    return default if damaged else read_note(notes, key, default)


def _size(folder: Path | None, name: str) -> str:
    if folder is not None and not os.path.isabs(name) and ".." not in Path(name).parts:
        with suppress(OSError, ValueError):  # a name that no file can have
            if (folder / name).is_file():
                return f"{(folder / name).stat().st_size:,} bytes"
    return "not there"


def _runs_in(ctx: Context) -> list[str]:
    from interchange.checker.deploy import predict
    from interchange.schemas.runtimes import releases
    from interchange.schemas.support import span

    good = predict(ctx, releases()).loading
    return [f"onnxruntime {span(good)}" if good else "no release that is known: interchange targets tells why"]


def _size_names(ctx: Context, sizes: Sizes) -> SizeNames:
    """The names of the model's sizes, those of its inputs first, as the runtime has them.

    Raises UsageError IX843 for one of `sizes` that the model does not have: a misspelt one would count nothing.
    """
    names = SizeNames({})
    for value in ctx.model.graph.input:
        _shape(value.type, value.name, names, {})
    if not sizes.keys() <= names.used.keys():
        for found in ctx.inferred.types.values():
            for name, proto in found.items():
                _shape(proto, name, names, {})
    for name in sizes.keys() - names.used.keys():
        close = get_close_matches(name, names.used, 1)
        raise UsageError(
            "IX843",
            f"the model has no size {name!r}",
            found=name,
            expected=", ".join(names.used) or "no sizes: all of them are fixed",
            fix=f"did you mean {close[0]}?" if close else "use the names in its inputs, as interchange show has them",
        )
    return names


# -- work -------------------------------------------------------------------------------------------------------------
_Shapes = list[Shape]  # of a node's inputs, None for one that is left out or not known; its first output's is the last


def _work(ctx: Context, names: SizeNames, sizes: Sizes) -> dict[str, Any]:
    """Multiply-adds of products, convolutions and recurrent layers: a number, or an expression in the named sizes.

    Formulas: a product of [.., m, k] and [.., k, n] has m k n, a convolution its output's elements times the weight's
    elements for one output channel, a recurrent layer its weights' elements for each step and row, an Einsum the
    product of all its letters' sizes. Subgraphs count once; what a node's shapes do not say, and operators of
    the runtime's own domain and Attention, whose work is not known here, are counted as unknown.
    """
    total: DimLike = 0
    nodes: dict[str, str] = {}
    unknown = 0
    for scope, types in ctx.inferred.types.items():
        if scope.is_function and not types:
            continue
        for node in scope.nodes:
            op, domain = node.proto.op_type, domain_of(node.proto)
            if domain or op not in _MACS:
                unknown += (domain, op) in _UNCOUNTED or (domain == "com.microsoft" and node.key not in ctx.functions)
                continue
            reads = [_shape(types.get(n), n, names, sizes) for n in node.proto.input]
            made = [_shape(types.get(n), n, names, sizes) for n in node.proto.output[:1]]
            missing = [None] * (4 - len(reads))  # a broken node is counted as unknown
            try:
                count = _MACS[op](node, [*reads, *missing, *(made or [None])])
            except UsageError:  # a product of more terms than anybody reads
                count = None
            if count is None or (isinstance(count, int) and abs(count) > MAX_SIZE):
                unknown += 1
            else:
                total = total + count
                nodes[node.proto.name or node.label] = str(count)
    return {"total": total if isinstance(total, int) else str(total), "nodes": nodes, "unknown": unknown}


def _shape(proto: Any, name: str, names: SizeNames, sizes: Sizes) -> Shape:
    if proto is None or not proto.tensor_type.HasField("shape"):
        return None
    dims: list[DimLike] = []
    for axis, dim in enumerate(proto.tensor_type.shape.dim):
        parsed = names.dim(dim.dim_value if dim.HasField("dim_value") else dim.dim_param, f"{name}_{axis}")
        known = isinstance(parsed, Dim) and symbols(parsed).keys() <= sizes.keys()
        dims.append(evaluate(parsed, sizes) if known else parsed)
    return dims


def _matmul(node: NodeRef, shapes: _Shapes) -> DimLike | None:
    a, out = shapes[0], shapes[-1]
    return product(out) * a[-1] if a and out is not None else None


def _gemm(node: NodeRef, shapes: _Shapes) -> DimLike | None:
    a, out = shapes[0], shapes[-1]
    turned = any(x.name == "transA" and x.i for x in node.proto.attribute)
    return product(out) * a[0 if turned else 1] if a is not None and len(a) == 2 and out is not None else None


def _conv(node: NodeRef, shapes: _Shapes) -> DimLike | None:
    w, out = shapes[3 if node.proto.op_type == "QLinearConv" else 1], shapes[-1]
    return product(out) * product(w[1:]) if w and out is not None else None


def _conv_transpose(node: NodeRef, shapes: _Shapes) -> DimLike | None:
    x, w = shapes[:2]
    return product(x) * product(w[1:]) if w and x is not None else None


def _recurrent(node: NodeRef, shapes: _Shapes) -> DimLike | None:
    x, w, r = shapes[:3]
    if x is None or w is None or r is None or len(x) != 3:
        return None
    return product(x[:2]) * (product(w) + product(r))


def _einsum(node: NodeRef, shapes: _Shapes) -> DimLike | None:
    equation = next((a.s.decode(errors="replace") for a in node.proto.attribute if a.name == "equation"), "")
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    letters: dict[str, DimLike] = {}
    for term, shape in zip(terms, shapes[:-1], strict=False):
        if shape is None or len(term) != len(shape) or "." in term:
            return None
        for letter, size in zip(term, shape, strict=True):
            if letters.get(letter, 1) == 1:  # 1 is broadcast
                letters[letter] = size
    return product(list(letters.values())) if len(terms) == 2 else None


_MACS: dict[str, Callable[[NodeRef, _Shapes], DimLike | None]] = {
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Gemm": _gemm,
    "Conv": _conv,
    "ConvInteger": _conv,
    "QLinearConv": _conv,
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}
_UNCOUNTED = {("", "Attention"), ("", "DeformConv")}
