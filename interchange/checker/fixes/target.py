"""Repairs for a target: the IR version it knows, and ways around kernels that it does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from interchange.checker.context import Context
from interchange.checker.fixes.work import Repairs, Work, fixes
from interchange.checker.report import Finding, Repaired
from interchange.checker.rule import RULES
from interchange.errors import FileError
from interchange.graph.opening import Written
from interchange.graph.proto import from_proto, to_proto

if TYPE_CHECKING:
    from interchange.graph.tensor import Tensor

_LARGE = 4096  # bytes of a constant from which its data stays outside of the message


@fixes("IX581")
def ir_version(work: Work, findings: Sequence[Finding]) -> Repairs:
    """The IR version that the target loads, if the model has nothing that came with a later one."""
    from interchange import schemas

    model, old = work.ctx.model, work.ctx.model.ir_version
    model.ir_version = schemas.resolve(work.ctx.target).ir_version
    overloads = model.ir_version < 10 and any(f.overload for f in model.functions)  # readers would mix them up
    if overloads or any(RULES["IX529"].run(Context(work.ctx.written, None, work.ctx.file))):
        model.ir_version = old
    else:
        yield f"lowered the IR version from {old} to {model.ir_version}: nothing in the model needs a later one"


def around_kernels(
    written: Written, target: str, *, allow_lossy: bool, trust_links: bool
) -> tuple[Written, list[Repaired]]:
    """The model with casts around the nodes for whose dtypes the target has no kernel, and what was done.

    A model that is broken otherwise stays as it is.
    """
    from interchange import schemas
    from interchange.graph import passes

    try:
        ir = from_proto(written.proto, written.folder, windows=written.windows, trust_links=trust_links)
        passes.infer(ir)
        done = passes.detour(ir, schemas.resolve(target).releases, allow_lossy=allow_lossy)
    except FileError:  # what is left of the findings says why
        return written, []
    if not done:
        return written, []
    left_out: dict[int, tuple[Any, Tensor]] = {}

    def leave_out(tensor: Tensor, proto: Any) -> bool:
        if tensor.nbytes < _LARGE:
            return False
        left_out[id(proto)] = proto, tensor  # which keeps the message, and so its id
        return True

    proto = to_proto(ir, place=leave_out)
    windows = {i: left_out.pop(id(t))[1].raw() for i, t in enumerate(proto.graph.initializer) if id(t) in left_out}
    for inner, tensor in left_out.values():  # windows are for the main graph alone
        inner.raw_data = bytes(tensor.raw())
    told = [
        f"{d.node} computes {', '.join(f'{a} in {b}' for a, b in d.dtypes)}, between casts"
        f"{': values are rounded' if d.lossy else ''}"
        for d in done
    ]
    return Written(proto, windows, written.folder, b""), [Repaired("IX584", text) for text in told]
