"""PyTorch's own OpInfo database through `interchange.export` and ONNX Runtime, one verdict for each operator and dtype.

    python tests/torch_opinfo.py --dtype float32                      the whole database, as a table
    python tests/torch_opinfo.py --dtype int64 --only add,mul -v      some operators, every message in full
    python tests/torch_opinfo.py --dtype float32 --json out.json      as data
    python tests/torch_opinfo.py --update                             tests/torch_opinfo_list.json anew, all dtypes

An entry of the database is a variant of an operator. It passes when for each of up to six of its sample inputs the
exported model gives what PyTorch gives: dtype, shape and values, NaN included, in the tolerance of a verification. The
export itself does not verify here: a mismatch would hide behind its refusal.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

import interchange as ix
from interchange.errors import InterchangeError
from interchange.frontends.torch.weights import to_numpy
from interchange.parity.compare import compare

FILE = Path(__file__).parent / "torch_opinfo_list.json"
DTYPES = ("float32", "int64", "bool")
SAMPLES = 6

# From the worst on: an entry has the verdict of its worst sample.
#   crash    an exception of ours that is no InterchangeError        wrong    another result, without a word
#   run      the runtime fails while it runs the model (IX611)       load     the runtime has no kernel (IX62x)
#   refused  an InterchangeError says why there is no model          pass     the same result
#   skipped  nothing to compare, or torch.export cannot capture it: only where all samples are
VERDICTS = ("crash", "wrong", "run", "load", "refused", "pass", "skipped")

# their elements are whatever was in memory: only dtype and shape are compared
UNINITIALIZED = {"empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"}


@dataclass(frozen=True, slots=True)
class Result:
    """A verdict and why. captured: whether torch.export could capture it (what it cannot is no exporter's to pass)."""

    verdict: str
    reason: str = ""
    captured: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of an operator with one dtype: the worst result, and how many samples passed of how many."""

    name: str
    result: Result
    passed: int
    samples: int

    def to_dict(self) -> dict[str, Any]:
        r = self.result
        return {
            "verdict": r.verdict,
            "reason": r.reason,
            "captured": r.captured,
            "passed": self.passed,
            "samples": self.samples,
        }


class Call(torch.nn.Module):
    """An operator on a sample: its tensors are inputs, everything else is constant."""

    def __init__(self, op: Callable[..., Any], leaves: Sequence[Any], spec: Any) -> None:
        super().__init__()
        self.op, self.leaves, self.spec = op, leaves, spec

    def forward(self, x: Sequence[torch.Tensor] = ()) -> Any:
        tensors = iter(x)
        leaves = [next(tensors) if isinstance(leaf, torch.Tensor) else leaf for leaf in self.leaves]
        first, args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return self.op(first, *args, **kwargs)


@cache
def database() -> dict[str, Any]:
    """The entries by name, ``add`` or ``div.floor_rounding``, in alphabetical order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db

    def name(op: Any) -> str:
        return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name

    return {name(op): op for op in sorted(op_db, key=name)}


def entries(dtype: str) -> list[str]:
    """The entries which PyTorch supports on the CPU for a dtype."""
    return [name for name, op in database().items() if op.supports_dtype(getattr(torch, dtype), "cpu")]


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Up to `count` items, the first and the last among them, evenly spread."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / max(1, count - 1))] for i in range(count)]


def seed() -> None:
    """Samples are drawn at random, the same ones each time."""
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)


def run_entry(name: str, dtype: str, samples: int = SAMPLES) -> Entry:
    """Export and run an entry's samples, until one is wrong in our code."""
    op = database()[name]
    seed()
    with quiet():
        every = list(op.sample_inputs("cpu", getattr(torch, dtype), requires_grad=False))
        results = [run_sample(name, op.op, sample) for sample in spread(every, samples)]
    passed = sum(r.verdict == "pass" for r in results)
    worst = min(results, key=lambda r: VERDICTS.index(r.verdict), default=Result("skipped", "no samples"))
    return Entry(name, worst, passed, len(results))


class quiet(warnings.catch_warnings):  # noqa: N801  a context manager, as its base is
    """PyTorch's warnings and logs are no news here."""

    def __enter__(self) -> None:  # type: ignore[override]
        super().__enter__()
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)

    def __exit__(self, *exc: object) -> None:
        logging.disable(logging.NOTSET)
        super().__exit__(*exc)


def run_sample(name: str, op: Callable[..., Any], sample: Any) -> Result:
    """Export one sample's call and compare what it returns in ONNX Runtime with what it returns in PyTorch."""
    leaves, spec = pytree.tree_flatten((sample.input, sample.args, sample.kwargs))
    tensors = [x for x in leaves if isinstance(x, torch.Tensor)]
    model = Call(op, leaves, spec)
    try:
        expected, after, repeatable = reference(model, tensors)
    except Exception as error:
        return Result("skipped", f"PyTorch itself: {first_line(error)}", captured=False)
    unfit = [t for t in [*tensors, *expected] if t.layout != torch.strided]
    if not expected or unfit:
        return Result("skipped", "returns no tensor" if not expected else f"a {unfit[0].layout} tensor")
    try:
        exported = ix.export(model, ([t.clone() for t in tensors],) if tensors else (), verify=False)
        found = exported.run({f"x.{i}": to_numpy(t) for i, t in enumerate(tensors) if f"x.{i}" in exported.inputs})
    except InterchangeError as error:
        return refusal(error)
    except Exception as error:
        return Result("crash", f"{first_line(error)} ({place(error)})")
    values = repeatable and name.partition(".")[0] not in UNINITIALIZED
    if name.partition(".")[0] in TIES:
        found, expected = pointed_at(name, sample, found, expected)
    problem = difference(found, expected, values) or lost_change(found, tensors, after, values)
    if problem is not None:
        return Result("wrong", problem)
    return Result("pass") if repeatable else Result("skipped", "random: only dtype and shape can agree, and do")


# operators that point at elements, by the place of their argument `dim`: which of several equal ones is not defined
TIES = {"argsort": 0, "sort": 0, "mode": 0, "topk": 1, "kthvalue": 1}


def pointed_at(name: str, sample: Any, found: Mapping[str, Any], expected: Sequence[Any]) -> tuple[Any, Any]:
    """Results with the elements that indices point at in place of the indices (unless the order has to be stable)."""
    place = TIES[name.partition(".")[0]]
    dim = sample.kwargs.get("dim", sample.args[place] if len(sample.args) > place else -1)
    if sample.kwargs.get("stable") or not sample.input.dim():
        return found, expected
    data = to_numpy(sample.input)

    def look(indices: Any) -> Any:
        lost = indices.ndim < data.ndim  # keepdim=False
        indices = np.expand_dims(indices, dim) if lost else indices
        return np.take_along_axis(data, indices, dim)

    ours = {n: look(a) if i == len(found) - 1 else a for i, (n, a) in enumerate(found.items())}
    return ours, [*expected[:-1], torch.from_numpy(look(to_numpy(expected[-1])))]


class Draws(TorchDispatchMode):
    """Notes whether an operator draws random numbers; op_db seeds many of them, so that they only seem repeatable."""

    drawn = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = torch.get_rng_state()
        result = func(*args, **(kwargs or {}))
        self.drawn = self.drawn or not torch.equal(before, torch.get_rng_state())
        return result


def reference(model: Call, tensors: Sequence[Any]) -> tuple[list[Any], list[Any], bool]:
    """What PyTorch returns, the inputs as they are then, and whether it would return the same a second time."""
    given = [t.clone() for t in tensors]
    with torch.no_grad(), Draws() as draws:
        returned = pytree.tree_leaves(model(given) if given else model())
    return [t.detach() for t in returned if isinstance(t, torch.Tensor)], given, not draws.drawn


def same(a: Any, b: Any) -> bool:
    """Whether two tensors are bit for bit the same; sparse ones count as such, and are looked at no further."""
    if a.layout != torch.strided:
        return True
    return a.shape == b.shape and to_numpy(a).tobytes() == to_numpy(b).tobytes()


def difference(found: Mapping[str, Any], expected: Sequence[Any], values: bool) -> str | None:
    """How the runtime's outputs differ from PyTorch's; without values in dtype and shape only."""
    results = [a for name, a in found.items() if not name.endswith(".next")]
    if len(results) != len(expected):
        return f"{len(results)} outputs instead of {len(expected)}"
    for i, (a, t) in enumerate(zip(results, expected, strict=True)):
        b = to_numpy(t)
        if not values:
            a, b = np.zeros_like(a), np.zeros_like(b)
        problem = compare(f"output {i}", a, b).problem
        if problem is not None:
            return f"output {i}: {problem}"
    return None


def lost_change(found: Mapping[str, Any], before: Sequence[Any], after: Sequence[Any], values: bool) -> str | None:
    """What became of inputs that the operator changes: their new values are further outputs, ``x.0.next``."""
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        name = f"x.{i}.next"
        if name in found:
            problem = compare(name, found[name], to_numpy(new)).problem if values else None
            if problem is not None:
                return f"{name}: {problem}"
        elif not same(old, new):
            return f"input {i} is changed by PyTorch, and no output tells"
    return None


def refusal(error: InterchangeError) -> Result:
    """An error of ours as a verdict."""
    parts = [error.message, error.found] if error.code in ("IX921", "IX622", "IX611") else [error.message]
    reason = f"{error.code}: " + "; ".join(" ".join(p.split()) for p in parts if p)
    reason = re.sub(r"at torch_opinfo.py:\d+ in forward: ", "", reason)
    verdict = "load" if error.code.startswith("IX62") else "run" if error.code == "IX611" else "refused"
    return Result(verdict, reason[:300], captured=error.code not in NOT_CAPTURED)


NOT_CAPTURED = {"IX922"}  # torch.export has no graph of it


def first_line(error: BaseException) -> str:
    text = re.sub(r"0x[0-9a-f]+", "0x..", str(error)).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"[:200]


def place(error: BaseException) -> str:
    """The innermost line of ours that a traceback goes through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f"{Path(ix.__file__).parent}" in f.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "outside of interchange"


def run(names: Sequence[str], dtype: str, samples: int = SAMPLES) -> Iterator[Entry]:
    for name in names:
        yield run_entry(name, dtype, samples)


def known() -> dict[str, dict[str, dict[str, str]]]:
    """dtype -> entry -> its verdict and reason: all entries that do not pass."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def summary(found: Sequence[Entry]) -> str:
    """The pass rate of all entries, and of those which torch.export captures."""
    count = Counter(e.result.verdict for e in found)
    passed, whole = count["pass"], len(found)
    captured = sum(e.result.captured for e in found)
    verdicts = ", ".join(f"{count[v]} {v}" for v in VERDICTS if count[v])
    return (
        f"{passed} of {whole} entries pass: {100 * passed / max(1, whole):.1f} %; of the {captured} that torch.export "
        f"captures {100 * passed / max(1, captured):.1f} %   ({verdicts})"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=DTYPES, help="default: float32, with --update all")
    parser.add_argument("--only", help="entries, or names of operators, separated by commas")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="of each entry (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write verdicts and reasons to this file")
    parser.add_argument("--update", action="store_true", help=f"write {FILE.name}")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what passes, too, and whole tracebacks")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data: dict[str, Any] = {}
    for dtype in [args.dtype] if args.dtype else DTYPES if args.update else ["float32"]:
        wanted = set(args.only.split(",")) if args.only else None
        names = [n for n in entries(dtype) if wanted is None or {n, n.partition(".")[0], database()[n].name} & wanted]
        found = []
        for entry in run(names, dtype, args.samples):
            found.append(entry)
            if args.verbose or entry.result.verdict != "pass":
                print(
                    f"{entry.result.verdict:8} {entry.name:45} {entry.passed}/{entry.samples}  {entry.result.reason}",
                    flush=True,
                )
        print(f"{dtype}: {summary(found)}")
        data[dtype] = {e.name: e.to_dict() for e in found}
    if args.json:
        args.json.write_text(json.dumps(data, indent=1), encoding="utf-8")
    if args.update:
        rest = {
            d: {n: {"verdict": e["verdict"], "reason": e["reason"]} for n, e in es.items() if e["verdict"] != "pass"}
            for d, es in data.items()
        }
        FILE.write_text(json.dumps({**known(), **rest} if FILE.exists() else rest, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
