"""What this and other tools say to each bad model: makes docs/bad_models.md.

``python -m tests.bad_models.compare`` needs ``pip install onnx-ir`` beside the project's own dependencies. Each tool
looks at each file in a process of its own, with 10 seconds and 4 GiB.
"""

from __future__ import annotations

import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from . import KINDS, Kind

PAGE = Path(__file__).parent.parent.parent / "docs" / "bad_models.md"
SECONDS, MEMORY = 10, 4 << 30
OUTCOMES = ("caught", "passes", "crashes", "hangs", "out of memory", "reads outside")


# -- the tools: each raises what it has against a model, and returns the weights that it read --------------------------
def onnx_checker(path: Path) -> list[bytes]:
    import onnx

    onnx.checker.check_model(str(path), full_check=True)
    return []


def onnx_runtime(path: Path) -> list[bytes]:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    if path.parent.name != "model":  # the layout of the kinds that are after a file outside
        return []
    zeros = {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs()}
    return [np.asarray(output).tobytes() for output in session.run(None, zeros)]


def onnx_ir(path: Path) -> list[bytes]:
    import onnx_ir

    model = onnx_ir.load(path)
    tensors = [v.const_value for v in model.graph.initializers.values()]
    for part in (model.graph, *model.functions.values()):
        for node in part.all_nodes():
            tensors += [a.value for a in node.attributes.values() if a.type == onnx_ir.AttributeType.TENSOR]
    return [t.tobytes() for t in tensors if t is not None]


TOOLS: dict[str, Callable[[Path], list[bytes]]] = {
    "onnx.checker": onnx_checker,
    "ONNX Runtime": onnx_runtime,
    "onnx_ir": onnx_ir,
}


def outcome(tool: Callable[[Path], list[bytes]], kind: Kind, path: Path) -> str:
    """One of `OUTCOMES`: what a tool does with a file, in a child process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            read = tool(path)
            said = "reads outside" if kind.secret and any(kind.secret in data for data in read) else "passes"
        except MemoryError:
            said = "out of memory"
        except Exception as error:
            said = "out of memory" if "bad_alloc" in str(error) or "Failed to allocate" in str(error) else "caught"
        except BaseException:
            said = "crashes"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], SECONDS)
    said = os.read(reader, 64).decode() if ready else "hangs"
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    return said or "crashes"


# -- ours -------------------------------------------------------------------------------------------------------------
def ours(kind: Kind, path: Path) -> str:
    """The codes of the findings, with a severity below error; or that of the error."""
    from interchange import check
    from interchange.errors import InterchangeError

    try:
        found = check(path, target=kind.target).findings
    except InterchangeError as error:
        return error.code
    told = (f.code if f.severity == "error" else f"{f.code} ({f.severity})" for f in found)
    return " ".join(dict.fromkeys(told)) or "passes"


def compare() -> dict[Kind, list[str]]:
    """What each tool says to each kind: ours first."""
    import onnx  # noqa: F401  (before the forks, so that each begins with it)
    import onnx_ir  # noqa: F401
    import onnxruntime  # noqa: F401

    found: dict[Kind, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            path = kind.write(Path(folder) / kind.slug)
            found[kind] = [ours(kind, path), *(outcome(tool, kind, path) for tool in TOOLS.values())]
    return found


# -- the page ---------------------------------------------------------------------------------------------------------
def page(found: dict[Kind, list[str]]) -> str:
    """docs/bad_models.md."""
    names = ("interchange", *TOOLS)
    doubtful = sum("IX" not in re.sub(r"IX\d{3} \((note|warning)\)", "", said[0]) for said in found.values())
    lines = [
        "# Bad models, and what tools say to them",
        "",
        f"{len(found)} kinds of bad model, each a small file made by `python -m tests.bad_models FOLDER`. A test",
        "holds that interchange reports each with its code, within 5 seconds and 1 GiB.",
        "",
        _row(f"of {len(found)}", *OUTCOMES),
        _rule(len(OUTCOMES) + 1),
    ]
    for i, name in enumerate(names):
        counts = Counter("caught" if i == 0 and said[i] != "passes" else said[i] for said in found.values())
        lines.append(_row(name, *(str(counts[o] or "") for o in OUTCOMES)))
    lines += [
        "",
        f"onnx {version('onnx')}: `check_model(path, full_check=True)`. onnxruntime {version('onnxruntime')}:",
        "`InferenceSession(path)`, which is no checker: it need not mind what it can run.",
        f"onnx-ir {version('onnx-ir')}: `load(path)`, and all tensors read; it takes broken models on purpose.",
        f"Each has a process with {SECONDS} seconds and {MEMORY >> 30} GiB for each file.",
        "*reads outside*: the bytes of a file that is not the model's came out.",
        f"{doubtful} of the kinds break no rule of the format, and have a warning or a note.",
        "",
        "Made by `python -m tests.bad_models.compare`. What the codes say: [the list of errors](errors/README.md).",
    ]
    for family in dict.fromkeys(k.family for k in found):
        lines += ["", f"## {family.replace('_', ' ').capitalize()}", ""]
        lines += [_row("kind", "what is wrong", *names), _rule(len(names) + 2)]
        lines += [_row(kind.title, kind.wrong, *said) for kind, said in found.items() if kind.family == family]
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(c.replace('|', BAR) for c in cells)} |"


def _rule(count: int) -> str:
    return "|---" * count + "|"


BAR = r"\|"


def rows_of(text: str) -> list[list[str]]:
    """The rows of a page's tables of kinds, cell by cell."""
    rows = [line.strip("| ").split(" | ") for line in text.split("\n## ", 1)[1].splitlines() if line.startswith("| ")]
    return [[c.replace(BAR, "|") for c in row] for row in rows if row[0] != "kind"]


def codes_of(cell: str) -> set[str]:
    """The codes in the column of interchange."""
    return set(re.findall(r"IX\d{3}", cell))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    begin = time.perf_counter()
    PAGE.write_text(page(compare()), encoding="utf-8")
    print(f"{PAGE}: {len(KINDS)} kinds in {time.perf_counter() - begin:.0f} s", file=sys.stderr)
