"""``interchange doctor``: versions, and whether the parts work together here."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

import click

_NEEDED = ("numpy", "onnx", "onnxruntime", "protobuf", "ml_dtypes", "click", "rich", "packaging")
_OPTIONAL = {"safetensors": "state files of eager models", "torch": "", "jax": "", "tensorflow": "", "scikit-learn": ""}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Look whether everything that is needed is here and works: versions, the runtime, a small model run in it."""
    from interchange.cli.output import emit
    from interchange.cli.tables import show_sections

    found = examine()
    if as_json:
        emit(found, True, "")
    else:
        show_sections(
            {
                "This machine": [[k, str(v)] for k, v in found["machine"].items()],
                "Needed": [[k, v or "MISSING"] for k, v in found["needed"].items()],
                "Optional": [[k, v or "not installed"] for k, v in found["optional"].items()],
                "Works": [["ok" if not v else "FAILS", k, v] for k, v in found["works"].items()],
            }
        )
    if not found["ok"]:
        ctx.exit(1)


def examine() -> dict[str, Any]:
    """Plain data: machine, versions (None: not installed), and for each trial "" or what went wrong."""
    from interchange import __version__

    needed = {name: _version(name) for name in _NEEDED}
    works = {name: _try(trial) for name, trial in _TRIALS.items()}
    return {
        "ok": all(needed.values()) and not any(works.values()),
        "machine": {
            "interchange": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "optimized": bool(sys.flags.optimize),
        },
        "needed": needed,
        "optional": {name: _version(name) for name in _OPTIONAL},
        "works": works,
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _try(trial: Any) -> str:
    try:
        trial()
    except Exception as error:  # whatever is wrong with an installation is what this command is to tell
        return f"{type(error).__name__}: {error}"
    return ""


def _graph() -> bytes:
    import numpy as np

    from interchange.graph import Graph, ModelIR, Node, Value
    from interchange.graph.files import serialize

    x, y = (Value(n, np.dtype("float32"), ("batch", 3)) for n in "xy")
    graph = Graph("doctor", [x], [y], [Node("Relu", [x], [y], name="relu")])
    return serialize(ModelIR(graph))


def _registry() -> None:
    from interchange import schemas

    assert schemas.schema("Relu", 21).since == 14


def _checker() -> None:
    from interchange.checker import check

    check(_graph()).raise_if_errors()


def _runtime() -> None:
    from interchange.runtime import load

    found = load(_graph(), threads=1).run([[-1, 0, 2]])["y"].tolist()
    assert found == [[0, 0, 2]], found


_TRIALS = {
    "operator registry": _registry,
    "a model is made and checked": _checker,
    "it runs in ONNX Runtime": _runtime,
}
