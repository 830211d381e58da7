"""Whether a release of ONNX Runtime runs a call, by its own tables of operators and kernels; nothing is run.

The rules are the runtime's (its kernel registry, its fallback of float16, its inlining of functions), held against its
loader over ONNX's node tests by tests/test_prediction.py. A value whose type is not known counts as one that fits.
"""

from __future__ import annotations

from collections.abc import Sequence

from interchange.schemas.calls import RUNS, Call, Verdict, names
from interchange.schemas.functions import body
from interchange.schemas.quirks import has_own_body, quirk
from interchange.schemas.runtimes import Form, Formal, Kernel, Runtime
from interchange.schemas.typetext import plain, reader_name

_HALF = {"tensor(float16)": "tensor(float)"}  # the runtime casts these itself; it does nothing for bfloat16
_DEEPEST = 8  # functions that call functions; ONNX's own end sooner


def judge(call: Call, runtime: Runtime, depth: int = 0) -> Verdict:
    """What a release says to a call."""
    opset = call.opsets.get(call.domain, 1)
    highest = runtime.opsets.get(call.domain, 0)
    if highest and opset > highest:
        return Verdict("opset", f"opset {opset}", f"opset {highest} or lower")
    if call.op == "Constant" and not call.domain:
        return RUNS
    since = runtime.since(call.domain, call.op, opset)
    if not since:
        return _unknown(call, runtime)
    form = runtime.form(call.domain, call.op, since)
    for look in (_misfit, quirk):
        problem = look(call, form, runtime)
        if problem is not None:
            return problem
    kernels = [k for k in runtime.kernels(call.domain, call.op) if k.serves(since)]
    half = call.widened(_HALF) if "tensor(float16)" in call.inputs else call
    if any(not _mismatches(k, form, c) for c in (call, half) for k in kernels):
        return RUNS
    return _body(call, runtime, kernels, form, depth)


def _body(call: Call, runtime: Runtime, kernels: Sequence[Kernel], form: Form, depth: int) -> Verdict:
    """What a release says to a call that it has no kernel for."""
    inner = [] if has_own_body(call, runtime) else body(call, runtime) if depth < _DEEPEST else None
    if inner is not None:
        for part in inner:
            verdict = judge(part, runtime, depth + 1)
            if not verdict:
                break
        else:
            return RUNS
        if not kernels:
            return Verdict("body", f"{part.title} of {names(part.inputs)} in its body", verdict.expected)
    return _no_kernel(call, runtime, kernels, form)


def _no_kernel(call: Call, runtime: Runtime, kernels: Sequence[Kernel], form: Form) -> Verdict:
    if not kernels:
        spans = sorted({(k.first, k.last or k.first) for k in runtime.kernels(call.domain, call.op)})
        there = ", ".join(f"{first} to {last}" if last > first else str(first) for first, last in spans)
        expected = f"version {there}" if there else "none of its versions"
        return Verdict("version", f"version {form.since}", expected)
    nearest = min(kernels, key=lambda k: len(_mismatches(k, form, call)))
    wrong = _mismatches(nearest, form, call)
    key, text = wrong[0]
    # what the kernels that differ in this one place take there
    near = [k for k in kernels if [w for w, _ in _mismatches(k, form, call)] == [w for w, _ in wrong]]
    taken = {t for k in near for t in k.types[key]}
    return Verdict("dtype", f"{_place(form, key)}: {reader_name(text)}", plain(taken))


def _mismatches(kernel: Kernel, form: Form, call: Call) -> list[tuple[str, str]]:
    """(type variable or formal, type) for each constraint of a kernel that a call does not meet."""
    found = []
    for key, allowed in kernel.types.items():
        text = _type_of(key, form, call)
        if text and text not in allowed:
            found.append((key, text))
    return found


def _type_of(key: str, form: Form, call: Call) -> str | None:
    """The type of the first value there is which a constraint speaks of; the runtime looks at that one alone."""
    for formals, texts in ((form.inputs, call.inputs), (form.outputs, call.outputs)):
        for formal, text in zip(formals, texts, strict=False):
            if key in (formal.type, formal.name) and text is not None:
                return text
    return None


def _place(form: Form, key: str) -> str:
    """The formals that a constraint speaks of: ``X, W``."""
    return ", ".join(dict.fromkeys(f.name for f in (*form.inputs, *form.outputs) if key in (f.type, f.name))) or key


# -- what the release's own list of operators says ---------------------------------------------------------------------
def _unknown(call: Call, runtime: Runtime) -> Verdict:
    opset, known = call.opsets.get(call.domain, 1), runtime.versions(call.domain, call.op)
    if known:
        return Verdict("operator", f"{call.title} at opset {opset}", f"opset {known[0]} or later")
    has = runtime.operators(call.domain)
    expected = f"one of the {len(has)} operators it has in {call.domain or 'ai.onnx'}" if has else "a domain it knows"
    return Verdict("operator", call.title, expected)


def _misfit(call: Call, form: Form, runtime: Runtime) -> Verdict | None:
    """Inputs, types or attributes that the release's version of the operator does not have."""
    if form.deprecated:
        return Verdict("form", f"{call.title}-{form.since}", "an operator that is not deprecated")
    for side, formals, texts in (("input", form.inputs, call.inputs), ("output", form.outputs, call.outputs)):
        variadic = bool(formals) and formals[-1].option == "variadic"
        if len(texts) > len(formals) and not variadic and any(t is not None for t in texts[len(formals) :]):
            return Verdict("form", f"{len(texts)} {side}s", f"at most {len(formals)}")
        for index, text in enumerate(texts):
            formal = formals[min(index, len(formals) - 1)] if formals else None
            # the runtime holds only the inputs' types against the list
            if (
                side == "input"
                and formal is not None
                and text
                and text not in form.variables.get(formal.type, {formal.type})
            ):
                return Verdict("form", f"{formal.name}: {reader_name(text)}", _allowed(formal, form))
    if call.node is not None:
        strange = sorted({a.name for a in call.node.attribute} - form.attributes)
        if strange:
            expected = f"the attributes {', '.join(sorted(form.attributes))}" if form.attributes else "no attributes"
            return Verdict("form", f"the attribute {', '.join(strange)}", expected)
    return None


def _allowed(formal: Formal, form: Form) -> str:
    return f"{formal.name}: {plain(form.variables.get(formal.type, {formal.type}))}"
