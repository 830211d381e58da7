"""`export`: capture, clean, check, verify, and only then write."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from interchange.collecting import few_collections
from interchange.dims import Dim, Shape, Spec, parse_dim
from interchange.errors import ConvertError, UsageError, VerifyError
from interchange.frontends import Arrays, Captured, capture, is_program
from interchange.frontends.inputs import FileDims
from interchange.graph.notes import read_note

if TYPE_CHECKING:
    from interchange.graph.core import ModelIR
    from interchange.graph.passes import Detour
    from interchange.parity.compare import Tolerance
    from interchange.parity.report import ParityReport
    from interchange.runtime import Model

_log = logging.getLogger("interchange")  # what an export is doing now: for large models it takes a while
Bounds = tuple[int, int | None]  # the least and the greatest size of a dimension
_LIGHT_ABOVE = 1 << 30  # bytes of weights from which the proof is run without the copies that make the runtime fast


def export(
    model: Any,
    inputs: Any = None,
    path: str | os.PathLike[str] | None = None,
    *,
    dynamic: Any = None,
    opset: int | None = None,
    target: str | None = None,
    output_names: Sequence[str] | None = None,
    functions: bool | type | str | Sequence[type | str] = False,
    verify: bool = True,
    load: bool = True,
    allow_lossy: bool = False,
    sizes: int = 3,
    tolerance: Mapping[str, Tolerance] | Tolerance | None = None,
    metadata: Mapping[str, str] | None = None,
    doc: str = "",
    options: Mapping[str, Any] | None = None,
) -> Model:
    """Export a model to ONNX, prove it equal to its source, and return it loaded in the runtime.

    model: an `interchange.eager.nn.Module`, a `torch.nn.Module`, a function of tensors of either, an ExportedProgram of
        PyTorch or its ``.pt2`` file. A module is exported in the mode (train, eval) it is in.
    inputs: a mapping from argument name, or a tuple in call order, of example arrays or shape strings
        (``"float32[batch, 3]"``), nested as the model takes them; bools, numbers, strings and None are constants.
        An imported model says itself what it takes.
    path: where to write; None keeps the model in memory. Nothing is written unless everything succeeded.
    dynamic: names for dimensions of example arrays, ``{"x": {0: "batch"}}`` (or Dim objects with bounds), or "auto".
    opset, target: what to write for, ``target="onnxruntime>=1.18"``; what cannot be honoured is refused.
    functions: modules kept as ONNX functions: True for all, or their classes or names.
    verify: run model and source side by side on the example and on `sizes` further admissible sizes. Without that, and
        above 1 GiB of weights, the model is loaded in the cheapest way, and made fast when you run it first.
    load: make sure that the runtime here loads it. False, with verify=False, is for another runtime that can (bfloat16
        on a GPU); what this one lacks is then told when you run the model.
    allow_lossy: compute in float32 what the target, or the runtime here, cannot compute in float64; its results are
        then proven as exact as float32 is. Casts that lose nothing (bfloat16 in float32) are made without asking.
    tolerance: (relative, absolute), for all outputs or by name. metadata, doc: written into the file.
    options: of the frontend; for PyTorch ``weights``, a file to fill the module from.

    Raises TraceError or OperatorError at the user's line, SchemaError for an opset or target that cannot be had,
    CheckError, VerifyError IX701 when the results differ, LoadError, FileError; for models of PyTorch
    ConvertError IX920 to IX930.
    """
    from interchange import schemas
    from interchange.checker import check
    from interchange.dtypes import float64
    from interchange.graph import files
    from interchange.parity.compare import TOLERANCES
    from interchange.runtime.model import Model, open_draft

    if path is not None:
        _refuse_folder(path)
    if verify and not load:
        raise UsageError(
            "IX809",
            "a model that is not loaded cannot be proven",
            found="load=False with verify=True",
            expected="load=False together with verify=False",
            fix="write verify=False as well, or leave load out",
        )
    aim = schemas.resolve(target, opset)
    _log.info("capturing")
    with few_collections():
        captured = capture(
            model, inputs, dynamic=dynamic, opset=aim.opset, output_names=output_names, options=options or {}
        )
        ir = captured.model
        _log.info("cleaning")
        kept = [functions] if isinstance(functions, (str, type)) else functions
        detours = clean(ir, captured, kept, (*aim.releases, *(_installed() if load else ())), allow_lossy)
    ir.ir_version, ir.doc = aim.ir_version, doc or ir.doc
    _describe(ir, captured, target, output_names)
    _report(ir, detours)
    ir.metadata.update(metadata or {})
    if tolerance is None and any(d.lossy for d in detours):
        tolerance = {v.name: TOLERANCES["float32"] for v in ir.graph.outputs if v.dtype == float64}
    with files.Draft(ir, path) as draft:
        _log.info("checking")
        check(draft.proto, target=target).raise_if_errors()
        _log.info("writing")
        data = draft.write()
        light = not verify or draft.nbytes > _LIGHT_ABOVE
        session = open_draft(ir, draft, data, light=light) if load else None
        if verify:
            _log.info("proving")
            report = _parity(Model(data, ir, session), captured, sizes, tolerance)
            ir.metadata["interchange.evidence"] = json.dumps(report.to_dict())
            data = draft.note("interchange.evidence", ir.metadata["interchange.evidence"])
        draft.commit()
    return Model(data if path is None else path, ir, None if light else session)


def _refuse_folder(path: Any) -> None:
    """UsageError IX804 for a path that cannot be a file's; done first, since an export may take long."""
    kind = None
    if not isinstance(path, (str, os.PathLike)):
        kind = f"a {type(path).__name__}"
    elif "\0" in os.fspath(path):
        kind = "a text with a NUL in it"
    elif not os.fspath(path) or os.path.isdir(path):
        kind = "a folder"
    if kind is not None:
        raise UsageError(
            "IX804",
            f"{path!r} is {kind}",
            found=kind,
            expected="a file name such as model.onnx",
            fix="add the file's name" if kind == "a folder" else "give the path of a file",
        )


def clean(
    ir: ModelIR,
    captured: Captured,
    functions: bool | Sequence[type | str],
    releases: Sequence[str] = (),
    allow_lossy: bool = False,
) -> list[Detour]:
    """Fold constants, merge equal nodes, drop dead ones, put casts where a release has no kernel, outline modules;
    parameters keep their names. Returns the casts."""
    from interchange.graph.passes import cse, dce, detour, fold, module_groups, outline
    from interchange.ops import evaluate_node

    fold(ir, evaluate_node, keep=captured.keep)
    cse(ir)
    dce(ir)
    done = detour(ir, releases, allow_lossy=allow_lossy)
    if functions:
        outline(ir, module_groups(ir, _wanted(functions, captured.modules)))
        dce(ir)
    return done


def _installed() -> tuple[str, ...]:
    """The release of the runtime here, if it is one whose kernels are known."""
    import onnxruntime

    from interchange.schemas.runtimes import releases

    name = ".".join(onnxruntime.__version__.split(".")[:2])
    return (name,) if name in releases() else ()


def _wanted(functions: bool | Sequence[type | str], modules: Mapping[str, Any]) -> dict[str, str]:
    """Path -> class name of the modules to keep as functions; UsageError IX805 for one the model does not have."""
    if functions is True:
        return {path: type(m).__name__ for path, m in modules.items() if path}
    wanted: dict[str, str] = {}
    for item in functions or ():
        found = {
            path: type(m).__name__
            for path, m in modules.items()
            if path and (path == item or type(m).__name__ == item or (isinstance(item, type) and isinstance(m, item)))
        }
        if not found:
            raise UsageError(
                "IX805",
                f"functions names a module the model does not have: {getattr(item, '__name__', item)}",
                found=str(item),
                expected=", ".join(sorted({type(m).__name__ for p, m in modules.items() if p})) or "a model with parts",
                fix="name a class of the model's modules, or a path such as encoder.0",
            )
        wanted |= found
    return wanted


def _describe(ir: ModelIR, captured: Captured, target: str | None, output_names: Sequence[str] | None) -> None:
    import interchange

    ir.producer_name, ir.producer_version = "interchange", interchange.__version__
    source = {**captured.source, "opset": ir.opsets[""], "target": target}
    if output_names is not None:
        source["output_names"] = list(output_names)
    ir.metadata["interchange.source"] = json.dumps(source)
    ir.metadata["interchange.signature"] = json.dumps(captured.signature)
    if captured.dims:
        ir.metadata["interchange.dims"] = json.dumps({n: list(b) for n, b in captured.dims.items()})
    if captured.guards:
        ir.metadata["interchange.guards"] = json.dumps([g.to_dict() for g in captured.guards])
    if captured.state:
        ir.metadata["interchange.state"] = json.dumps([{"name": n, "output": o} for n, o in captured.state.items()])


def _report(ir: ModelIR, detours: Sequence[Detour]) -> None:
    """Tell of the casts that were put in: in the log, and in the model."""
    from interchange.graph.passes.detour import summary

    if not detours:
        return
    done = summary(detours)
    ir.metadata["interchange.detours"] = json.dumps(done)
    for d in done:
        nodes = f"{d['nodes']} node{'' if d['nodes'] == 1 else 's'}"
        rounded = ": values are rounded" if d["lossy"] else ""
        _log.info("%s of %s computes in %s, %s%s", d["op"], d["from"], d["to"], nodes, rounded)


def _parity(
    model: Model, captured: Captured, sizes: int, tolerance: Mapping[str, Tolerance] | Tolerance | None
) -> ParityReport:
    from interchange.parity import parity

    if captured.random:
        raise VerifyError(
            "IX703",
            "a model that draws random numbers cannot be compared with its source",
            where=captured.random[0].rpartition(" at ")[2],
            found="; ".join(dict.fromkeys(captured.random)),
            expected="results that follow from the inputs",
            fix="call model.eval() before the export, or export it unproven with verify=False",
        )
    report = parity(
        model,
        captured.reference,
        captured.inputs,
        outputs=model.outputs,
        example=captured.example,
        dims=captured.dims,
        guards=captured.guards,
        sizes=sizes,
        tolerance=tolerance,
        runtime=_runtime_name(),
    )
    report.raise_if_different(partial(_first_difference, captured))
    return report


def _first_difference(captured: Captured, arrays: Arrays) -> str | None:
    """The operation of the source at which a model that failed the proof first differs."""
    from interchange import runtime
    from interchange.graph import files
    from interchange.parity.bisect import first_difference

    if captured.steps is None:
        return None
    try:
        ir, steps = captured.steps(arrays)
    except ConvertError:  # the source does not run on these inputs, which the report says
        return None
    ir.ir_version = captured.model.ir_version
    model = runtime.load(files.serialize(ir), check=False, optimize=False)
    return first_difference(model, arrays, steps)


def _runtime_name() -> str:
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__} on CPU"


def verify(
    path: str | os.PathLike[str] | bytes | Model,
    model: Any,
    inputs: Any = None,
    *,
    dynamic: Any = None,
    sizes: int = 3,
    tolerance: Mapping[str, Tolerance] | Tolerance | None = None,
    options: Mapping[str, Any] | None = None,
) -> ParityReport:
    """Compare an exported model with its source; returns the report, whether they agree or not.

    inputs, dynamic: as for `export`; left out, the exported model's own signature supplies names, dtypes and shapes.
    """
    from interchange import runtime

    loaded = path if isinstance(path, runtime.Model) else runtime.load(path)
    if inputs is None and not is_program(model):
        inputs = arguments_of(loaded)
    if dynamic is None:
        known = _fitting_dims(loaded)
        dynamic = FileDims({n: _dynamic_axes(_read_again(s.shape, known)) for n, s in loaded.inputs.items()})
    names = read_note(loaded.metadata, "source", {}).get("output_names")
    opset = loaded.opsets[""]
    captured = capture(model, inputs, dynamic=dynamic, opset=opset, output_names=names, options=options or {})
    from interchange.parity import parity

    dims = {n: _overlap(b, loaded.dims.get(n, (0, None))) for n, b in captured.dims.items()}
    if "interchange.dims" not in loaded.metadata:  # a file of others does not say that it takes empty inputs
        dims = {n: (max(low, 1), high) for n, (low, high) in dims.items()}
    return parity(
        loaded,
        captured.reference,
        captured.inputs,
        outputs=loaded.outputs,
        example=captured.example,
        dims=dims,
        guards=[*captured.guards, *loaded.guards],
        sizes=sizes,
        tolerance=tolerance,
        runtime=_runtime_name(),
    )


def _overlap(a: Bounds, b: Bounds) -> Bounds:
    highs = [high for _, high in (a, b) if high is not None]
    return max(a[0], b[0]), min(highs, default=None)


def _dynamic_axes(shape: Shape) -> dict[int, Dim]:
    return {i: d for i, d in enumerate(shape) if isinstance(d, Dim)}


def _fitting_dims(loaded: Model) -> dict[str, Dim]:
    """Where a file is right for some sizes only: its named sizes, with an example of such ones as hints."""
    from interchange.sampling import sample_sizes

    at = sample_sizes(loaded.dims, loaded.guards, 2)[-1:] if loaded.guards else []
    return {n: Dim(n, min=loaded.dims[n][0], max=loaded.dims[n][1], hint=v) for sizes in at for n, v in sizes.items()}


def _read_again(shape: Shape, known: Mapping[str, Dim]) -> Shape:
    return tuple(parse_dim(str(d), known) if known and isinstance(d, Dim) else d for d in shape)


def arguments_of(loaded: Model) -> Any:
    """The arguments of the source model, nested as it takes them, from an exported model's signature."""
    from interchange.eager import pytree

    specs = [Spec(s.name, s.dtype, s.shape) for s in loaded.inputs.values() if not s.optional]
    signature = read_note(loaded.metadata, "signature", None)
    if signature is None:
        return {s.name: s for s in specs}
    return pytree.unflatten(pytree.Tree.from_json(signature["inputs"]), iter(specs))
