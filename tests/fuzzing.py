"""Fuzzing: models changed at random, and a process that tries them on everything that reads models.

``python tests/fuzzing.py --seconds 600`` runs it; what is found is written to a folder, one file a find. A case is told
by its seed and number alone: ``--seed 7 --first 1234 --count 1`` runs it again.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import random
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message
from onnx import helper

HANG = 5.0  # seconds of work that one reading may take: the machine may be busy with other things
STILL = 120.0  # seconds in which nothing is heard of it, work or not
MEMORY = 1536 << 20  # bytes that the process may come to
_START = 60.0  # seconds until the process has read its first case, imports included

INTS = (0, 1, -1, 2, 3, 7, 64, 255, 2**16, 2**31 - 1, 2**31, 2**32 + 1, 2**53, 2**62, 2**63 - 1, -(2**31), -(2**63))
FLOATS = (0.0, -0.0, 1.0, 1e-45, 3e38, float("nan"), float("inf"), float("-inf"))
TEXTS = (
    "",
    "x",
    "y",
    "ghost",
    "a\0b",
    "\x1b[31m",
    "../secret",
    "/etc/hostname",
    "C:\\x",
    "n" * 70_000,
    "N + 1",
    "ai.onnx",
    "\u202eevil",
    "Ⅻ",
)
OPERATORS = (
    "Relu",
    "Add",
    "Loop",
    "If",
    "Scan",
    "Reshape",
    "Constant",
    "Expand",
    "Conv",
    "Cast",
    "Unsqueeze",
    "Einsum",
)
BYTES = (b"", b"\0", b"\xff" * 8, b"abc", b"\x7f" * 64, bytes(range(256)))


# -- models changed by their fields ------------------------------------------------------------------------------------
@cache
def seeds() -> tuple[bytes, ...]:
    """Valid models, which between them use everything that a model file can say."""
    from bad_models.building import branch, calling, condition, node, relu, value
    from graph_models import MODELS

    made = [build()[0] for build in MODELS.values()]
    then = branch([node("Relu", ["x"], ["then"], "r")], [value("then")])
    made += [relu(), condition(then), calling([node("Relu", ["a"], ["b"], "inner")]), noted()]
    return tuple(m.SerializeToString(deterministic=True) for m in made)


def noted() -> onnx.ModelProto:
    """A model with everything that interchange notes in its metadata."""
    model = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["": 21]>
    main (float[batch, time] x, int64[1] count) => (float[batch, time] y, int64[1] next) <int64[1] count = {0}>
    { y = Relu(x)  next = Identity(count) }
    """)
    notes = {
        "dims": {"batch": [1, 64], "time": [2, None]},
        "guards": [{"condition": "time%2 == 0", "why": "x.reshape(-1, 2)", "where": "net.py:12 in forward"}],
        "state": [{"name": "count", "output": "next"}],
        "source": {"framework": "eager", "version": "0.1.0", "mode": "eval"},
        "evidence": {
            "ok": True,
            "runtime": "onnxruntime 1.32.0",
            "trials": [{"sizes": {"batch": 3}, "differences": [{"output": "y", "problem": None}]}],
        },
    }
    for name, note in notes.items():
        model.metadata_props.add(key=f"interchange.{name}", value=json.dumps(note))
    for made in model.graph.node:
        made.metadata_props.add(key="interchange.line", value="net.py:3 in forward")
    return model


def messages(message: Message) -> Iterator[Message]:
    """A message and all inside of it."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in value if hasattr(value, "__len__") and not isinstance(value, Message) else (value,):
                yield from messages(inner)


def mutate(model: onnx.ModelProto, rnd: random.Random) -> str:
    """Change one field of a model, any one; says what was done."""
    everything = list(messages(model))
    message = rnd.choice(everything)
    field = rnd.choice(list(message.DESCRIPTOR.fields))
    name = f"{message.DESCRIPTOR.name}.{field.name}"
    many = isinstance(getattr(message, field.name), _repeated())
    if field.type == field.TYPE_MESSAGE:
        alike = [m for m in everything if m.DESCRIPTOR is field.message_type]
        return f"{name}: {(_change_messages if many else _change_message)(message, field.name, alike, rnd)}"
    if not many:
        if rnd.random() < 0.2:
            message.ClearField(field.name)
            return f"{name}: cleared"
        new = _scalar(field, everything, rnd)
        setattr(message, field.name, new)
        return f"{name} = {str(new)[:40]!r}"
    return f"{name}: {_change_list(getattr(message, field.name), lambda: _scalar(field, everything, rnd), rnd)}"


@cache
def _repeated() -> tuple[type, ...]:
    sample = onnx.GraphProto()
    return type(sample.node), type(onnx.TensorProto().dims)


def _change_message(message: Message, name: str, alike: list[Any], rnd: random.Random) -> str:
    if not alike or rnd.random() < 0.3:
        message.ClearField(name)
        return "cleared"
    other = type(alike[0])()
    other.CopyFrom(rnd.choice(alike))  # a copy first: it may be an ancestor
    getattr(message, name).CopyFrom(other)
    return "replaced by another"


def _change_messages(message: Message, name: str, alike: list[Any], rnd: random.Random) -> str:
    items = getattr(message, name)
    at = rnd.randrange(len(items)) if len(items) else 0
    what = rnd.choice(("drop", "duplicate", "swap", "insert", "empty", "clear"))
    if what == "insert" and alike:
        other = type(alike[0])()
        other.CopyFrom(rnd.choice(alike))
        items.add().CopyFrom(other)
    elif what == "empty":
        items.add()
    elif what == "clear":
        del items[:]
    elif len(items) and what == "drop":
        del items[at]
    elif len(items) and what == "duplicate":
        items.add().CopyFrom(items[at])
    elif len(items) > 1 and what == "swap":
        items.insert(0, items.pop(at))
    return what


def _change_list(items: Any, make: Callable[[], Any], rnd: random.Random) -> str:
    values = list(items)
    at = rnd.randrange(len(values)) if values else 0
    what = rnd.choice(("drop", "duplicate", "set", "set", "add", "clear", "many"))
    if what == "drop":
        values = values[:at] + values[at + 1 :]
    elif what == "duplicate":
        values += values[at : at + 1]
    elif what == "set" and values:
        values[at] = make()
    elif what == "add":
        values.append(make())
    elif what == "clear":
        values = []
    elif what == "many":
        values += [make()] * rnd.choice((3, 65, 500))
    items[:] = values
    return what


def _scalar(field: Any, everything: list[Message], rnd: random.Random) -> Any:
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return rnd.choice(FLOATS)
    if field.type == field.TYPE_BYTES:
        return rnd.choice(BYTES)
    if field.type == field.TYPE_ENUM:
        return rnd.choice(list(field.enum_type.values_by_number))
    if field.type == field.TYPE_STRING:
        if field.name == "op_type":
            return rnd.choice((*OPERATORS, *TEXTS))
        known = [t for m in everything for f, t in m.ListFields() if f.type == f.TYPE_STRING and isinstance(t, str)]
        known += [t for m in everything if isinstance(m, onnx.NodeProto) for t in (*m.input, *m.output)]
        return rnd.choice(known) if known and rnd.random() < 0.6 else rnd.choice(TEXTS)
    bits, signed = (32, True) if field.type == field.TYPE_INT32 else (64, field.type != field.TYPE_UINT64)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return min(max(rnd.choice((*INTS, rnd.randrange(40))), low), high)


def nested(rnd: random.Random) -> onnx.ModelProto:
    """Subgraphs in subgraphs, or functions that call functions, more of them than anybody needs."""
    from bad_models.building import F, branch, model, node, value

    if rnd.random() < 0.5:
        depth = rnd.choice((3, 10, 30))  # protobuf reads 100 messages deep, an If is three
        graph = branch([node("Relu", ["x"], ["v0"], "r")], [value("v0")])
        for level in range(1, depth):
            other = branch([node("Neg", ["x"], [f"o{level}"], "n")], [value(f"o{level}")])
            holder = node("If", ["c"], [f"v{level}"], f"if{level}", then_branch=graph, else_branch=other)
            graph = branch([holder], [value(f"v{level}")])
        inputs = [value("c", onnx.TensorProto.BOOL, ()), value("x")]
        return model(list(graph.node), inputs, [value(f"v{depth - 1}", F, None)])
    depth = rnd.choice((3, 10, 45, 110))
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("f", 1)]
    functions = [helper.make_function("f", "F0", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], imports)]
    for level in range(1, depth):
        twice = [
            helper.make_node(f"F{level - 1}", ["a"], ["h"], domain="f"),
            helper.make_node(f"F{level - 1}", ["h"], ["b"], domain="f"),
        ]
        functions.append(helper.make_function("f", f"F{level}", ["a"], ["b"], twice, imports))
    call = node(f"F{depth - 1}", ["x"], ["y"], "call", domain="f")
    return model([call], functions=functions, opsets={"": 21, "f": 1})


def structured(rnd: random.Random) -> bytes:
    """A valid model with a few fields changed."""
    model = onnx.ModelProto.FromString(rnd.choice(seeds())) if rnd.random() < 0.9 else nested(rnd)
    for _ in range(rnd.choice((1, 1, 2, 3, 6))):
        with suppress(DecodeError):  # deeper than protobuf goes
            mutate(model, rnd)
    return model.SerializeToString()


# -- files changed by their bytes --------------------------------------------------------------------------------------
def damaged(rnd: random.Random) -> bytes:
    """The file of a valid model with some bytes changed."""
    data = bytearray(rnd.choice(seeds()))
    for _ in range(rnd.choice((1, 1, 2, 4, 16))):
        at = rnd.randrange(len(data)) if data else 0
        match rnd.randrange(7):
            case 0 if data:
                data[at] ^= 1 << rnd.randrange(8)
            case 1 if data:
                data[at] = rnd.randrange(256)
            case 2:
                del data[at:]
            case 3:
                del data[at : at + rnd.choice((1, 2, 8, 64))]
            case 4:
                other = rnd.choice(seeds())
                start = rnd.randrange(len(other))
                data[at:at] = other[start : start + rnd.choice((1, 8, 64, 512))]
            case 5:  # a length or number that does not end, or is far too large
                data[at:at] = rnd.choice((b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x07", b"\x80" * 12, b"\xff\x7f"))
            case 6:
                data[at : at + 4] = rnd.randbytes(4)
    return bytes(data)


# -- what interchange notes in a model ---------------------------------------------------------------------------------
def misnoted(rnd: random.Random) -> bytes:
    """A model whose notes are JSON of another form, or none."""
    model = noted()
    for entry in rnd.sample(list(model.metadata_props), rnd.choice((1, 2))):
        if rnd.random() < 0.7:
            entry.value = json.dumps(_other_json(json.loads(entry.value), rnd))
        else:
            text = entry.value
            at = rnd.randrange(len(text))
            entry.value = (
                text[:at] + rnd.choice(("", "[", "{", '"', "1e999", "NaN", "[" * 2000, "\0", "é")) + text[at + 1 :]
            )
    for made in model.graph.node:
        made.metadata_props[0].value = rnd.choice((*TEXTS, "net.py:3 in forward"))
    return model.SerializeToString()


_TEXTS_IN_JSON = ("", "x", "batch", "batch//0 == 1", "a*" * 300 + "a > 0", "time%0 == 0", "2**time == 3", "batch == b")
_JSON: tuple[Any, ...] = (None, True, 0, -1, 1.5, 10**30, *_TEXTS_IN_JSON, [], {}, [[]], [None], {"": None})


def _other_json(value: Any, rnd: random.Random) -> Any:
    if rnd.random() < 0.3 or not isinstance(value, (dict, list)) or not value:
        return rnd.choice(_JSON)
    if isinstance(value, list):
        items = list(value)
        at = rnd.randrange(len(items))
        items[at] = _other_json(items[at], rnd)
        return items if rnd.random() < 0.8 else items * 2
    items = dict(value)
    key = rnd.choice(list(items))
    match rnd.randrange(4):
        case 0:
            del items[key]
        case 1:
            items[rnd.choice(TEXTS)] = items.pop(key)
        case _:
            items[key] = _other_json(items[key], rnd)
    return items


MAKERS = (structured, structured, damaged, misnoted)


def case(seed: int, number: int) -> bytes:
    """The file of one case."""
    rnd = random.Random(f"{seed}:{number}")
    return rnd.choice(MAKERS)(rnd)


# -- what reads models -------------------------------------------------------------------------------------------------
def entries(path: Path) -> dict[str, Callable[[], object]]:
    """Everything that reads a model file."""
    import interchange as ix
    from interchange.checker.fixes import fix
    from interchange.checker.summary import summarize

    data = path.read_bytes()
    small = {"seconds": 4, "memory": 1 << 30}
    return {
        "check a path": lambda: ix.check(path, limits=small).text(),
        "check bytes": lambda: ix.check(data, limits=small).to_dict(),
        "show": lambda: summarize(path),
        "interchange show": lambda: command("show", str(path)),
        "interchange diff": lambda: command("diff", str(path), str(path), "--json"),
        "fix": lambda: fix(data, limits=small),
        "diff": lambda: ix.diff(path, noted()).text(),
        "diff with itself": lambda: ix.diff(data, path).verdict,
        "import": lambda: ix.import_model(path),
        "load": lambda: ix.load(path, threads=1),
    }


def command(*args: str) -> None:
    """Run a command as it is; what it prints goes nowhere."""
    from interchange.cli import run

    told = io.StringIO()
    with redirect_stdout(told), redirect_stderr(told):
        status = run(args)
    assert status < 3, told.getvalue()
    assert "\x1b" not in told.getvalue()


def wrong(read: Callable[[], object]) -> str | None:
    """What is wrong with how something reads a model: anything but a value or an InterchangeError comes out of it."""
    from interchange import InterchangeError

    try:
        read()
    except InterchangeError as error:
        str(error)  # what a reader gets to see has to come out as well
    except BaseException:  # whatever it is
        return traceback.format_exc()
    return None


def try_cases(cases: Iterable[tuple[int, bytes]], only: str | None = None) -> None:
    """Run cases, one after the other; a line of JSON before and after each reading, for `fuzz`."""
    with tempfile.TemporaryDirectory() as folder:
        path, warm = Path(folder) / "case.onnx", False  # the first case imports everything
        for number, data in cases:
            path.write_bytes(data)
            for name, read in entries(path).items():
                if only is None or name == only:
                    _say(case=number, entry=name)
                    signal.setitimer(signal.ITIMER_PROF, HANG if warm else _START)  # SIGPROF ends the process
                    problem = wrong(read)
                    signal.setitimer(signal.ITIMER_PROF, 0)
                    warm = True
                    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
                    if problem is None and resident > MEMORY:
                        problem = f"{resident >> 20} MiB of memory"
                    _say(problem=problem)


def _say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def fuzz(seed: int, seconds: float, folder: Path, count: int = 10**9, first: int = 0) -> tuple[int, list[str]]:
    """Run cases in a process of their own until time is up: (cases run, what was found).

    A find says the case, what read it, and what came out; its file is written to `folder`.
    """
    finds: list[str] = []
    end, number, last = time.monotonic() + seconds, first, first + count
    while time.monotonic() < end and number < last:
        number, entry, problem = watch(
            ["--seed", str(seed), "--first", str(number), "--count", str(last - number)], end
        )
        if problem is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{seed}_{number}.onnx").write_bytes(case(seed, number))
            finds.append(f"seed {seed}, case {number}, {entry}: {problem.strip()}")
        number += 1
    return number - first, finds


def watch(arguments: list[str], end: float = math.inf) -> tuple[int, str, str | None]:
    """Run ``fuzzing.py --try`` until its cases, or the time, are at an end, or something is wrong.

    Returns the last case, what read it, and what was wrong with that.
    """
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, __file__, "--try", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **threads},
    )
    assert child.stdout is not None
    number, entry, rest, noise = -1, "start", b"", b""
    with child, selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        try:
            while selector.select(STILL):
                piece = os.read(child.stdout.fileno(), 1 << 16)
                if not piece:
                    status = child.wait()
                    late = status == -signal.SIGPROF
                    how = (
                        f"no end after {HANG:.0f} seconds of work"
                        if late
                        else f"the process ended with status {status}"
                    )
                    problem = f"{how}\n{noise.decode(errors='replace')}"
                    return number, entry, problem if status else None
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    if not line.startswith(b"{"):  # what a library prints before it ends the process
                        noise = (noise + line + b"\n")[-2000:]
                        continue
                    told = json.loads(line)
                    if "case" in told:
                        number, entry = told["case"], told["entry"]
                    elif told["problem"] is not None or time.monotonic() > end:
                        return number, entry, told["problem"]
            return number, entry, f"nothing was heard for {STILL:.0f} seconds"
        finally:
            child.kill()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--folder", type=Path, default=Path("fuzz-finds"))
    parser.add_argument("--try", action="store_true", dest="inside", help="run in this process")
    parser.add_argument("--entry", help="only this reader")
    parser.add_argument("--files", type=Path, nargs="*", help="with --try: these files in place of cases")
    given = parser.parse_args()
    if given.inside:
        numbers = range(given.first, given.first + given.count)
        files = ((at, path.read_bytes()) for at, path in enumerate(given.files or ()))
        try_cases(files if given.files else ((n, case(given.seed, n)) for n in numbers), given.entry)
        return
    count, finds = fuzz(given.seed, given.seconds, given.folder, given.count, given.first)
    print(f"seed {given.seed}: {count} cases, {len(finds)} finds")
    for find in finds:
        print(f"\n{find}")
    sys.exit(bool(finds))


if __name__ == "__main__":
    main()
