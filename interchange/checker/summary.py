"""What a model is, as plain data: signature, size, operators, parameters, work, where it runs."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interchange.checker.context import Context, NodeRef, domain_of
from interchange.checker.typetext import reader_text
from interchange.dims import Dim, DimLike, evaluate, parse_dim, product, symbols
from interchange.dtypes import from_onnx, nbytes
from interchange.errors import InterchangeError
from interchange.graph import files

Sizes = Mapping[str, int]
Shape = list[DimLike] | None


def summarize(path: str | os.PathLike[str], sizes: Sizes | None = None) -> dict[str, Any]:
    """The facts about a model file, for `interchange show`.

    sizes: values for named sizes, which the number of multiply-adds is then given for; the rest stay names in it.
    Raises FileError for what is no model.
    """
    proto, windows, folder = files.read(path)
    ctx = Context(proto, windows, None, os.fspath(path), None)
    graph, notes = proto.graph, {e.key: e.value for e in proto.metadata_props}
    weights = [t for scope in ctx.scopes if not scope.is_function for t in scope.proto.initializer]
    data_files = {e.value for t in weights for e in t.external_data if e.key == "location"}
    source = _json(notes, "source", {})
    return {
        "model": {
            "name": graph.name,
            "doc": proto.doc_string.strip().split("\n")[0],
            "made by": f"{proto.producer_name} {proto.producer_version}".strip(),
            "source": ", ".join(f"{k} {v}" for k, v in source.items() if v) if isinstance(source, dict) else "",
            "opsets": ", ".join(f"{d or 'ai.onnx'} {v}" for d, v in ctx.opsets.items()),
            "IR version": proto.ir_version,
            "file": f"{os.path.getsize(path):,} bytes",
            "data files": ", ".join(f"{n} ({_size(folder, n)})" for n in sorted(data_files)),
            "nodes": sum(len(s.nodes) for s in ctx.scopes),
            "functions": len(proto.functions),
        },
        "inputs": [f"{v.name}: {reader_text(v.type)}" for v in graph.input if v.name not in ctx.main.initializers],
        "outputs": [f"{v.name}: {reader_text(v.type)}" for v in graph.output],
        "state": _json(notes, "state", []),
        "dims": _json(notes, "dims", {}),
        "guards": _json(notes, "guards", []),
        "parameters": sum(math.prod(t.dims) for t in weights),
        "parameter_bytes": sum(nbytes(d, math.prod(t.dims)) for t in weights if (d := from_onnx(t.data_type))),
        "macs": _work(ctx, sizes or {}),
        "operators": dict(Counter(n.op for n in ctx.nodes()).most_common()),
        "runs_in": _runs_in(ctx),
        "evidence": _json(notes, "evidence", None),
        "metadata": {k: v for k, v in notes.items() if not k.startswith("interchange.")},
    }


def _json(notes: Mapping[str, str], key: str, default: Any) -> Any:
    try:
        found = json.loads(notes[f"interchange.{key}"])
    except (KeyError, ValueError):  # damaged notes are the checker's matter
        return default
    return found if default is None or isinstance(found, type(default)) else default


def _size(folder: Path | None, name: str) -> str:
    if folder is None or os.path.isabs(name) or ".." in Path(name).parts or not (folder / name).is_file():
        return "not there"
    return f"{(folder / name).stat().st_size:,} bytes"


def _runs_in(ctx: Context) -> list[str]:
    from interchange.schemas.targets import RELEASES

    found = []
    for runtime, releases in RELEASES.items():
        good = [
            r.name
            for r in releases
            if ctx.opsets.get("", 0) <= r.opset
            and ctx.opsets.get("ai.onnx.ml", 0) <= r.ml_opset
            and ctx.model.ir_version <= r.ir_version
        ]
        span = f"{good[0]} to {good[-1]}" if good else "none of the known releases"
        found.append(f"{runtime} {span} (by opset and IR version)")
    return found


# -- work -------------------------------------------------------------------------------------------------------------
def _work(ctx: Context, sizes: Sizes) -> dict[str, Any]:
    """Multiply-adds of the matrix products and convolutions: a number, or an expression in the named sizes.

    Formulas: a product of [.., m, k] and [.., k, n] has m k n, a convolution its output's elements times the weight's
    elements for one output channel. Subgraphs count once; what a node's shapes do not say is counted as unknown.
    """
    total: DimLike = 0
    nodes: dict[str, str] = {}
    unknown = 0
    for scope, types in ctx.inferred.types.items():
        if scope.is_function and not types:
            continue
        for node in scope.nodes:
            if node.proto.op_type not in _MACS or domain_of(node.proto):
                continue
            shapes = [_shape(types.get(n), sizes) for n in (*node.proto.input, *node.proto.output)]
            count = _MACS[node.proto.op_type](node, shapes) if None not in shapes[:2] else None
            if count is None:
                unknown += 1
            else:
                total = total + count
                nodes[node.proto.name or node.label] = str(count)
    return {"total": total if isinstance(total, int) else str(total), "nodes": nodes, "unknown": unknown}


def _shape(proto: Any, sizes: Sizes) -> Shape:
    if proto is None or not proto.tensor_type.HasField("shape"):
        return None
    dims: list[DimLike] = []
    for dim in proto.tensor_type.shape.dim:
        if dim.HasField("dim_value"):
            dims.append(dim.dim_value)
            continue
        try:
            parsed = parse_dim(dim.dim_param)
        except InterchangeError:
            return None
        known = isinstance(parsed, Dim) and symbols(parsed).keys() <= sizes.keys()
        dims.append(evaluate(parsed, sizes) if known else parsed)
    return dims


def _matmul(node: NodeRef, shapes: list[Shape]) -> DimLike | None:
    a, out = shapes[0], shapes[-1]
    return product(out) * a[-1] if a and out is not None else None


def _gemm(node: NodeRef, shapes: list[Shape]) -> DimLike | None:
    a, out = shapes[0], shapes[-1]
    turned = any(x.name == "transA" and x.i for x in node.proto.attribute)
    return product(out) * a[0 if turned else 1] if a is not None and len(a) == 2 and out is not None else None


def _conv(node: NodeRef, shapes: list[Shape]) -> DimLike | None:
    x, w, out = shapes[0], shapes[1], shapes[-1]
    if not w or x is None:
        return None
    if node.proto.op_type == "ConvTranspose":
        return product(x) * product(w[1:])
    return product(out) * product(w[1:]) if out is not None else None


_MACS = {"MatMul": _matmul, "Gemm": _gemm, "Conv": _conv, "ConvTranspose": _conv}
