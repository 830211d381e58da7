"""Who is compared: each in a virtual environment of its own, with pinned versions, on loopback."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from serving.processes import Server

HERE = Path(__file__).parent
SERVERS = HERE / "servers"
FOLDER = HERE.parent.parent / ".bench"
_RUNTIME, _NUMPY = (f"{p}=={importlib.metadata.version(p)}" for p in ("onnxruntime", "numpy"))  # as here
REQUIREMENTS = {
    "fastapi": ["fastapi==0.165.0", "pydantic==2.14.3", "uvicorn[standard]==0.54.0", _RUNTIME, _NUMPY],
    "mlserver": ["mlserver==1.7.1", "fastapi==0.115.14", _RUNTIME, _NUMPY],  # it does not run with a newer FastAPI
    "triton": ["nvidia-pytriton==0.7.0", _RUNTIME, "numpy==1.26.4"],  # the server in it, 2.51, is of before numpy 2
}


@dataclass(frozen=True)
class Place:
    """Where servers are made: the models by name, a folder for their files, and the threads of a large model."""

    models: Mapping[str, Path]
    folder: Path
    threads: int
    triton_backends: Path | None = None
    triton_python: str = sys.executable

    def new(self, name: str) -> Path:
        """An empty folder."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def copy(self, model: str, folder: Path) -> None:
        """A model and what belongs to it, as version 1 in a folder."""
        shutil.copytree(self.models[model].parent, folder / "1")

    def log(self, name: str) -> Path:
        """The file for what a server says."""
        return self.folder / f"{name.replace(' ', '_')}.log"


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [s.getsockname()[1] for s in sockets]


def environment(name: str, python: str = sys.executable) -> Path:
    """The folder with the programs of a peer's environment, made the first time. Raises RuntimeError."""
    folder = FOLDER / name
    programs, done = folder / "bin", folder / "requirements.txt"
    wanted = "\n".join([python, *REQUIREMENTS[name]])
    if done.exists() and done.read_text() == wanted:
        return programs
    print(f"installing {' '.join(REQUIREMENTS[name])} into {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    dependencies = ["--no-deps"] if name == "triton" else []  # pytriton's own are for its Python side, unused here
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(programs / "python")]
    install = [*pip, "install", *dependencies, *REQUIREMENTS[name]]
    for command in ([python, "-m", "venv", "--without-pip", str(folder)], install):
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(f"{name} cannot be installed: {result.stderr[-1500:]}")
    done.write_text(wanted)
    return programs


# -- ours --------------------------------------------------------------------------------------------------------------
def ours(place: Place, models: Sequence[str], *, workers: int = 1) -> Server:
    """interchange: each of the models also without batching, as NAME_alone."""
    name = f"interchange {models[0]} {workers}"
    folder = place.new(name)
    for model in models:
        place.copy(model, folder / model)
        place.copy(model, folder / f"{model}_alone")
    http, grpc = free_ports(2)
    settings = place.folder / f"{name}.toml"
    alone = "".join(f"[models.{model}_alone]\nbatching = false\n" for model in models)
    settings.write_text(f"http_port = {http}\ngrpc_port = {grpc}\nworkers = {workers}\n{alone}")
    program = Path(sys.executable).with_name("interchange")
    command = [str(program), "serve", str(folder), "--config", str(settings)]
    return _started(Server(name, command, place.log(name), http=http, grpc=grpc))


def fixed_body(place: Place) -> Server:
    """The floor of HTTP in Python."""
    (http,) = free_ports(1)
    command = [sys.executable, str(SERVERS / "fixed_body.py"), str(http)]
    return _started(Server("fixed body", command, place.log("fixed"), http=http), "/")


# -- the others --------------------------------------------------------------------------------------------------------
def fastapi(place: Place) -> Server:
    """FastAPI on uvicorn, one process."""
    programs = environment("fastapi")
    (http,) = free_ports(1)
    command = [str(programs / "uvicorn"), "fastapi_app:app", "--port", str(http), "--no-access-log"]
    variables = {**os.environ, "MODEL": str(place.models["mlp"])}
    return _started(Server("fastapi", command, place.log("fastapi"), http=http, cwd=SERVERS, env=variables))


def mlserver(place: Place) -> Server:
    """MLServer without worker processes: with one of them, its default, a request costs more."""
    programs, folder = environment("mlserver"), place.new("mlserver")
    http, grpc, metrics = free_ports(3)
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports}
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {"uri": str(place.models["mlp"]), "version": "1"}
    (folder / "model-settings.json").write_text(
        json.dumps({"name": "mlp", "implementation": "mlserver_runtime.OnnxModel", "parameters": model})
    )
    variables = {**os.environ, "PYTHONPATH": str(SERVERS)}
    command = [str(programs / "mlserver"), "start", str(folder)]
    log = place.log("mlserver")
    return _started(Server("mlserver", command, log, http=http, grpc=grpc, cwd=folder, env=variables))


_ONNX = """\
backend: "onnxruntime"
max_batch_size: {batch}
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
parameters {{ key: "intra_op_thread_count" value {{ string_value: "{threads}" }} }}
parameters {{ key: "inter_op_thread_count" value {{ string_value: "1" }} }}
{more}
"""
_PYTHON = """\
backend: "python"
max_batch_size: {batch}
input [ {{ name: "x" data_type: TYPE_FP32 dims: {inputs} }} ]
output [ {{ name: "{output}" data_type: TYPE_FP32 dims: {outputs} }} ]
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
parameters {{ key: "threads" value {{ string_value: "{threads}" }} }}
{more}
"""


def triton(place: Place, large: bool = False) -> Server:
    """Triton with ONNX Runtime: in its own back end if one was built for this machine, else in the Python back end.

    The perceptron three times: as it is, with dynamic batching, with two instances. Or the large network.
    """
    python = place.triton_python
    programs, folder = environment("triton", python), place.new("triton_large" if large else "triton")
    (packages,) = (programs.parent / "lib").glob("python*/site-packages")
    home = packages / "pytriton" / "tritonserver"
    backends = place.triton_backends or home / "backends"
    template = _ONNX if place.triton_backends else _PYTHON
    forms = {"mlp": (1, ""), "mlp_batching": (1, "dynamic_batching { }"), "mlp_two": (2, "")}
    for name, (instances, more) in ({"resnet": (1, "")} if large else forms).items():
        place.copy("resnet" if large else "mlp", folder / name)
        values = {
            "batch": 4 if large else 64,
            "instances": instances,
            "threads": place.threads if large else 1,
            "more": more,
            "inputs": [3, 224, 224] if large else [64],
            "outputs": [1000] if large else [10],
            "output": "output",
        }
        (folder / name / "config.pbtxt").write_text(f'name: "{name}"\n' + template.format_map(values))
        if template == _PYTHON:
            code = (SERVERS / "triton_python.py").read_text()
            where = f"import sys; sys.path.insert(0, {str(packages)!r})\n"
            (folder / name / "1" / "model.py").write_text(where + code)
    variables = dict(os.environ)
    if template == _PYTHON:
        # its stub embeds the Python of the system, and looks for it beside the first python3 on the path
        version = packages.parent.name.removeprefix("python")
        stub = backends / "python" / "triton_python_backend_stub"
        if not stub.exists():
            shutil.copy(home / "python_backend_stubs" / version / stub.name, stub)
        variables["PATH"] = f"{Path(python).resolve().parent}:{os.environ['PATH']}"
    http, grpc, metrics = free_ports(3)
    addresses = [f"--{door}-address=127.0.0.1" for door in ("http", "grpc", "metrics")]
    ports = [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    where = [f"--model-repository={folder}", f"--backend-directory={backends}"]
    command = [str(home / "bin" / "tritonserver"), *where, *addresses, *ports]
    return _started(Server(folder.name, command, place.log(folder.name), http=http, grpc=grpc, env=variables))


def _started(server: Server, path: str = "/v2/health/ready") -> Server:
    server.wait(path)
    return server
