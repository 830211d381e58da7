"""Tells which model files an ONNX Runtime loads, as JSON: ``python load_models.py FOLDER``.

Runs under any release, with nothing beside onnxruntime and numpy. A release that dies at a model loses that model
alone: a child loads the files one after the other, and a new one goes on where the last one died.
"""

import json
import subprocess
import sys
from pathlib import Path

DIED = "the runtime died"


def load_each(paths: list[str]) -> None:
    """Print one line of JSON for each file: its name, and null or why it is not loaded."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    for path in paths:
        try:
            onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # each release has classes of its own
            refusal = str(error) or type(error).__name__
        else:
            refusal = None
        print(json.dumps([Path(path).name, refusal]), flush=True)


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
