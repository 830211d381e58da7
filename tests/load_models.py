"""Tells which model files an ONNX Runtime loads, as JSON: ``python load_models.py FOLDER``.

A model that has its inputs beside it (``name.npz`` for ``name.onnx``) is run as well.

Runs under any release, with nothing beside onnxruntime and numpy. A release that dies at a model loses that model
alone: a child loads the files one after the other, and a new one goes on where the last one died.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

DIED = "the runtime died"
FAILED = "it is loaded, and fails when it runs"


def load_each(paths: list[str]) -> None:
    """Print one line of JSON for each file: its name, and null or why it is not loaded."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    for path in paths:
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # each release has classes of its own
            refusal = str(error) or type(error).__name__
        else:
            refusal = run(session, Path(path).with_suffix(".npz"))
        print(json.dumps([Path(path).name, refusal]), flush=True)


def run(session: Any, data: Path) -> str | None:
    """Why it fails; None if it does not, or if there is no data."""
    if not data.exists():
        return None
    import numpy

    with numpy.load(data, allow_pickle=True) as arrays:
        feeds = {name: arrays[name] for name in arrays.files}
    try:
        session.run(None, feeds)
    except Exception as error:
        return f"{FAILED}: {error}"
    return None


def outcomes(folder: str) -> dict[str, str | None]:
    """File name -> None, or why it is not loaded."""
    left = sorted(map(str, Path(folder).glob("*.onnx")))
    found: dict[str, str | None] = {}
    while left:
        child = subprocess.run(
            [sys.executable, __file__, "--each"], input="\n".join(left), capture_output=True, text=True, check=False
        )
        done = [json.loads(line) for line in child.stdout.splitlines() if line.startswith("[")]
        found.update(done)
        left = left[len(done) :]
        if left and child.returncode < 0:  # a signal
            found[Path(left.pop(0)).name] = f"{DIED} of signal {-child.returncode}"
        elif left:
            raise RuntimeError(child.stderr)
    return found


if __name__ == "__main__":
    if sys.argv[1] == "--each":
        load_each(sys.stdin.read().split("\n"))
    else:
        print(json.dumps(outcomes(sys.argv[1])))
