"""Weights in files beside the model: locations that lead elsewhere, ranges that do not fit, files that are none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onnx import TensorProto

from .building import F, calling, external, model, node, relu
from .kind import family

kind = family("external")
SECRET = b"the secret!!"  # 12 bytes: three float32
OUT = "the model reads a file that is not its own"


def tensor(name: str = "w", size: int = 3, **entries: Any) -> Any:
    """A float32 constant outside of the model file."""
    w = TensorProto(name=name, data_type=F, dims=[size], data_location=TensorProto.EXTERNAL)
    for key, given in {"location": "w.bin", **entries}.items():
        w.external_data.add(key=key, value=str(given))
    return w


def save(folder: Path, *tensors: Any, name: str = "m.onnx") -> Path:
    """A model that adds them all to x."""
    sums = ["x", *(f"h{i}" for i in range(len(tensors) - 1)), "y"]
    nodes = [node("Add", [sums[i], w.name], [sums[i + 1]], f"add{i}") for i, w in enumerate(tensors)]
    (folder / name).write_bytes(model(nodes, initializers=tensors).SerializeToString())
    return folder / name


def beside_secret(prepare: Callable[[Path, Path], str]) -> Callable[[Path], Path]:
    """The maker of a model in a folder beside secret.bin; prepare(folder, secret) gives the location it names."""

    def make(folder: Path) -> Path:
        secret, inside = folder / "secret.bin", folder / "model"
        secret.write_bytes(SECRET)
        inside.mkdir(exist_ok=True)
        return save(inside, tensor(location=prepare(inside, secret)))

    return make


def linked(link: Callable[[Path, Path], None], name: str = "w.bin") -> Callable[[Path, Path], str]:
    def prepare(folder: Path, secret: Path) -> str:
        if not os.path.lexists(folder / "w.bin"):
            link(secret, folder / "w.bin")
        return name

    return prepare


# -- where ------------------------------------------------------------------------------------------------------------
kind("a location with ..", "IX532", "'../secret.bin'", OUT, secret=SECRET)(beside_secret(lambda *_: "../secret.bin"))
kind(
    "a location with .. in its middle",
    "IX532",
    "'a/../../secret.bin'",
    f"{OUT}; older checks looked at the beginning only",
    secret=SECRET,
)(beside_secret(lambda *_: "a/../../secret.bin"))
kind("a location with a backslash", "IX532", "secret.bin'", f"{OUT}, on Windows")(
    beside_secret(lambda *_: "..\\secret.bin")
)
kind("an absolute location", "IX532", "secret.bin'", OUT, secret=SECRET)(
    beside_secret(lambda _, secret: str(secret.resolve()))
)
kind("a location with a NUL", "IX532", "\\x00", "readers in C see the name up to the NUL: another file")(
    beside_secret(lambda *_: "w.bin\0.png")
)
kind("a location that is a URL", "IX533", "'file:", "a reader that opens URLs reads what it names")(
    beside_secret(lambda _, secret: f"file://{secret.resolve()}")
)
kind("a symbolic link that leads out", "IX532", "'w.bin'", OUT, secret=SECRET)(
    beside_secret(linked(lambda secret, path: path.symlink_to(secret.resolve())))
)
kind("a relative symbolic link that leads out", "IX532", "'w.bin'", OUT, secret=SECRET)(
    beside_secret(linked(lambda _, path: path.symlink_to("../secret.bin")))
)
kind("a folder that is a symbolic link", "IX532", "'w.bin/secret.bin'", OUT, secret=SECRET)(
    beside_secret(linked(lambda secret, path: path.symlink_to(secret.parent.resolve()), "w.bin/secret.bin"))
)
kind("a hard link", "IX532", "'w.bin'", f"{OUT}, and no path tells", secret=SECRET)(
    beside_secret(linked(lambda secret, path: path.hardlink_to(secret)))
)
kind("a loop of symbolic links", "IX532", "'w.bin'", "the link leads to itself")(
    beside_secret(linked(lambda _, path: path.symlink_to("w.bin")))
)
kind("a link to /dev/zero", "IX532", "'w.bin'", "a file without an end")(
    beside_secret(linked(lambda _, path: path.symlink_to("/dev/zero")))
)
kind("/dev/zero itself", "IX532", "'/dev/zero'", "a file without an end")(beside_secret(lambda *_: "/dev/zero"))
kind("a FIFO as data file", "IX532", "'w.bin'", "reading waits for a writer that never comes")(
    beside_secret(linked(lambda _, path: os.mkfifo(path)))
)
kind("a folder as data file", "IX532", "'w.bin'", "a folder has no bytes")(
    beside_secret(linked(lambda _, path: path.mkdir()))
)
kind("an empty location", "IX532", "''", "the name of the file is missing")(beside_secret(lambda *_: ""))
kind("a location that is too long", "IX532", "aaa", "no file system has such names")(
    beside_secret(lambda *_: "a" * 5000)
)


@kind("no location", "IX532", "'w'", "the entry that names the file is missing")
def _(folder: Path) -> Any:
    w = tensor()
    del w.external_data[:]
    w.external_data.add(key="offset", value="0")
    return save(folder, w)


@kind("two locations", "IX558", "location", "readers differ in the one they open")
def _(folder: Path) -> Any:
    (folder / "w.bin").write_bytes(bytes(12))
    (folder / "v.bin").write_bytes(bytes(12))
    w = tensor()
    w.external_data.add(key="location", value="v.bin")
    return save(folder, w)


@kind("a data file that is missing", "IX533", "'w'", "only the .onnx file was copied")
def _(folder: Path) -> Any:
    return external(folder, 12, location="gone.bin")


@kind("the model file as its own data", "IX558", "itself", "the weights are the bytes of the graph")
def _(folder: Path) -> Any:
    return save(folder, tensor(location="m.onnx"))


@kind(
    "an outside location in a Constant",
    "IX532",
    "'../secret.bin'",
    f"{OUT}; checkers look at initializers only",
    secret=SECRET,
)
def _(folder: Path) -> Any:
    (folder / "secret.bin").write_bytes(SECRET)
    (folder / "model").mkdir(exist_ok=True)
    w = node("Constant", [], ["w"], "c", value=tensor("", location="../secret.bin"))
    made = model([w, node("Add", ["x", "w"], ["y"], "add")])
    (folder / "model" / "m.onnx").write_bytes(made.SerializeToString())
    return folder / "model" / "m.onnx"


@kind("an outside location in a function", "IX532", "secret.bin'", f"{OUT}; onnx_ir 1.1 reads it", secret=SECRET)
def _(folder: Path) -> Any:
    (folder / "secret.bin").write_bytes(SECRET)
    (folder / "model").mkdir(exist_ok=True)
    w = node("Constant", [], ["w"], "c", value=tensor("", location=str((folder / "secret.bin").resolve())))
    made = calling([w, node("Add", ["a", "w"], ["b"], "add")])
    (folder / "model" / "m.onnx").write_bytes(made.SerializeToString())
    return folder / "model" / "m.onnx"


@kind("an outside location in a sparse tensor", "IX532", "'../secret.bin'", OUT)
def _(folder: Path) -> Any:
    from .tensors import sparse_add

    (folder / "secret.bin").write_bytes(SECRET)
    (folder / "model").mkdir(exist_ok=True)
    made = sparse_add([1, 2, 3], [0, 1, 4])
    made.graph.sparse_initializer[0].values.CopyFrom(tensor(location="../secret.bin"))
    (folder / "model" / "m.onnx").write_bytes(made.SerializeToString())
    return folder / "model" / "m.onnx"


@kind("an outside location in training_info", "IX532", "secret.bin'", f"{OUT}; only what trains looks there")
def _(folder: Path) -> Any:
    made = relu()
    made.training_info.add().initialization.initializer.append(tensor(location="../secret.bin"))
    (folder / "m.onnx").write_bytes(made.SerializeToString())
    return folder / "m.onnx"


# -- which bytes ------------------------------------------------------------------------------------------------------
@kind("a data file shorter than the tensor", "IX534", "'w'", "the copy was interrupted")
def _(folder: Path) -> Any:
    return external(folder, 8)


@kind("an empty data file", "IX534", "'w'", "the copy was interrupted")
def _(folder: Path) -> Any:
    return external(folder, 0)


@kind("a length other than the tensor's", "IX534", "'w'", "three float32 are 12 bytes, 16 are said")
def _(folder: Path) -> Any:
    return external(folder, 64, length=16)


@kind("a length of 0", "IX534", "'w'", "three float32 are 12 bytes")
def _(folder: Path) -> Any:
    return external(folder, 64, length=0)


@kind("an offset past the end", "IX534", "'w'", "the range lies behind the file")
def _(folder: Path) -> Any:
    return external(folder, 12, offset=4096)


@kind("an offset of 2^63", "IX534", "'w'", "with the length it is negative in 64 bits")
def _(folder: Path) -> Any:
    return external(folder, 12, offset=2**63 - 1, length=12)


@kind("a negative offset", "IX534", "'-4'", "the range begins before the file")
def _(folder: Path) -> Any:
    return external(folder, 12, offset=-4)


@kind("an offset that is no number", "IX534", "'12abc'", "readers in C see 12")
def _(folder: Path) -> Any:
    return external(folder, 24, offset="12abc")


@kind("tensors that overlap", "IX558", "'v'", "the bytes of one weight are part of another: a few bytes stand for many")
def _(folder: Path) -> Any:
    (folder / "w.bin").write_bytes(bytes(64))
    return save(folder, tensor("w", offset=0, length=12), tensor("v", offset=8, length=12))


@kind("a checksum of other data", "IX559", "'w'", "the data file was changed, or is that of another model")
def _(folder: Path) -> Any:
    return external(folder, 12, checksum="da39a3ee5e6b4b0d3255bfef95601890afd80709")


@kind("an unknown entry", "IX558", "'__class__'", "readers have set attributes of this name")
def _(folder: Path) -> Any:
    return external(folder, 12, __class__="os")


@kind(
    "an address in memory for a location",
    "IX533",
    "_ORT_MEM_ADDR_",
    "ONNX Runtime's own mark for an address: it would read any memory",
)
def _(folder: Path) -> Any:
    return save(folder, tensor(location="*/_ORT_MEM_ADDR_/*", offset=4096, length=12))
