"""The whole way in a minute: train, export, check, verify, run, serve. Each command is printed: you can repeat it.

make demo
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = Path(".demo")


def shell(*command: str) -> None:
    """Print a command, then run it; end the demo if it fails."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    place = Path(sys.executable).parent  # python and interchange of this environment
    environment = {**os.environ, "PATH": f"{place}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(command, env=environment, check=False)
    if done.returncode:
        sys.exit(f"the command failed with status {done.returncode}")


@contextmanager
def server(*arguments: str) -> Iterator[dict[str, Any]]:
    """Print and run `interchange serve` on free ports while the block runs; gives what it says when it is ready."""
    command = ["interchange", "serve", *arguments, "--http-port", "0", "--grpc-port", "0"]
    print(f"\n$ {shlex.join(command)} &", flush=True)
    process = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            sys.exit(f"the server did not start: status {process.wait()}")
        print(line, end="", flush=True)
        yield json.loads(line)
        print(f"\n$ kill -TERM {process.pid}", flush=True)
    finally:
        process.terminate()
        status = process.wait(60)
    if status:
        sys.exit(f"the server ended with status {status}")


def python(*lines: str) -> None:
    """Print lines of Python and run them."""
    print("\n$ PYTHONPATH=sample_models python")
    namespace: dict[str, object] = {}
    for line in lines:
        print(f">>> {line}", flush=True)
        exec(compile(f"{line}\n", "<demo>", "single"), namespace)


_numbers = count(1)


def chapter(title: str) -> None:
    """Print a heading."""
    print(f"\n-- {next(_numbers)}. {title} ".ljust(100, "-"), flush=True)


def main() -> None:
    """Run the demo from the root of the project."""
    os.chdir(HERE.parent)
    OUT.mkdir(exist_ok=True)
    begin = time.perf_counter()
    iris, digits, file = "sample_models/iris_regression.py", "sample_models/digits_cnn.py", ".demo/iris.onnx"

    chapter("train: the width of an iris petal from three other measurements")
    shell("python", iris)
    chapter("export: traced, checked and proven equal to its source before it is written")
    shell("interchange", "export", f"{iris}:make", file, "--target", "onnxruntime>=1.18")
    shell("interchange", "show", file)
    chapter("check the file, then compare it with its source once more")
    shell("interchange", "check", file)
    shell("interchange", "targets", file)
    shell("interchange", "verify", file, f"{iris}:make")
    chapter("answer in production: ONNX Runtime, no training code")
    shell("python", "sample_models/serve_script.py", file)
    chapter("side by side: source, ONNX Runtime, difference")
    python(
        "import interchange as ix, iris_regression",
        "flowers = iris_regression.load()[0][::25]",
        "source = iris_regression.make()[0](flowers).numpy()",
        "runtime = ix.load('.demo/iris.onnx').run(x=flowers)['output']",
        "for s, r in zip(source, runtime): print(f'{s.item():.7f}   {r.item():.7f}   {abs(s - r).item():.1e}')",
    )
    chapter("the same for a convolutional network that reads digits")
    shell("interchange", "export", f"{digits}:make", ".demo/digits.onnx")
    python(
        "import interchange as ix, digits_cnn",
        "_, images, _, digits = digits_cnn.load()  # a quarter of the data, never trained on",
        "scores = ix.load('.demo/digits.onnx').run(x=images)['output']",
        "print(f'read right by ONNX Runtime: {digits_cnn.accuracy(scores, digits):.2%} of {len(digits)}')",
    )
    if find_spec("torch") is not None:
        chapter("and for one that was written and trained in PyTorch")
        shell("interchange", "export", "sample_models/digits_torch.py:make", ".demo/digits_torch.onnx")
        python(
            "import interchange as ix, digits_cnn",
            "_, images, _, digits = digits_cnn.load()",
            "scores = ix.load('.demo/digits_torch.onnx').run(x=images)['scores']",
            "print(f'read right by ONNX Runtime: {digits_cnn.accuracy(scores, digits):.2%} of {len(digits)}')",
        )
    chapter("serve both over the Open Inference Protocol; the http address is also a page for people")
    models = OUT / "models"
    models.mkdir(exist_ok=True)
    for name in ("iris", "digits"):
        shutil.copy(OUT / f"{name}.onnx", models)
    with server(str(models)) as told:
        shell("interchange", "infer", told["http"], "iris", "--input", "x=[[5.1, 3.5, 1.4]]")
        shell("python", "sample_models/ask_grpc.py", told["grpc"])
    print(f"\ndone in {time.perf_counter() - begin:.0f} s; the models are in .demo/")


if __name__ == "__main__":
    main()
