"""What is no ONNX model at all: other formats, and what an interrupted writing leaves."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from .building import const, relu, varint, wire
from .kind import family

kind = family("files")
OTHER = "the file is of another format"


@kind("an empty file", "IX302", "empty", "nothing was written; protobuf parses it as a model with nothing in it")
def _() -> Any:
    return b""


@kind("half a model", "IX302", "no model from byte", "the file was cut in the middle of a message")
def _() -> Any:
    data = relu().SerializeToString()
    return data[: len(data) // 2]


@kind("random bytes", "IX302", "not an ONNX model", "the bytes mean nothing")
def _() -> Any:
    return np.random.default_rng(3).bytes(4096)


@kind("zeros", "IX302", "not an ONNX model", "what a full disk or a broken download leaves: a file of zeros")
def _() -> Any:
    return bytes(4096)


@kind("a zip archive", "IX302", "PyTorch", f"{OTHER}: a PyTorch checkpoint is a zip archive")
def _() -> Any:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"w": 1}))
    return stream.getvalue()


@kind("a pickle", "IX302", "pickle", f"{OTHER}, one that runs code when it is read")
def _() -> Any:
    return pickle.dumps({"w": [1.0, 2.0]})


@kind("safetensors", "IX302", "safetensors", f"{OTHER}: weights without a graph")
def _() -> Any:
    head = json.dumps({"w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}).encode()
    return len(head).to_bytes(8, "little") + head + bytes(12)


@kind("a TensorFlow SavedModel", "IX302", "TensorFlow", f"{OTHER}, whose first fields look like those of a model")
def _() -> Any:
    info = wire(1, wire(5, b"2.16.1") + wire(4, b"serve"))
    graph = wire(2, wire(1, wire(1, b"x") + wire(2, b"Placeholder")))
    return b"\x08\x01" + wire(2, info + graph)


@kind("a TensorFlow GraphDef", "IX302", "not an ONNX model", f"{OTHER}: a frozen graph of TensorFlow 1")
def _() -> Any:
    return wire(1, wire(1, b"x") + wire(2, b"Placeholder")) + wire(1, wire(1, b"y") + wire(2, b"Relu") + wire(3, b"x"))


@kind("TensorFlow Lite", "IX302", "TensorFlow Lite", OTHER)
def _() -> Any:
    return b"\x1c\0\0\0TFL3" + bytes(60)


@kind("ONNX Runtime's own format", "IX302", ".ort", f"{OTHER}, which only one release of the runtime reads")
def _() -> Any:
    return b"\x18\0\0\0ORTM" + bytes(60)


@kind("a Keras HDF5 file", "IX302", "HDF5", OTHER)
def _() -> Any:
    return b"\x89HDF\r\n\x1a\n" + bytes(60)


@kind("GGUF", "IX302", "GGUF", f"{OTHER}: weights of a language model")
def _() -> Any:
    return b"GGUF\x03\0\0\0" + bytes(60)


@kind("a NumPy array", "IX302", "NumPy", OTHER)
def _() -> Any:
    stream = io.BytesIO()
    np.save(stream, np.ones(3, np.float32))
    return stream.getvalue()


@kind("a gzip archive", "IX302", "gzip", "the model was compressed")
def _() -> Any:
    return gzip.compress(relu().SerializeToString(), mtime=0)


@kind("a Git LFS pointer", "IX302", "Git LFS", "the repository holds a pointer where the model should be")
def _() -> Any:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@kind("an HTML page", "IX302", "HTML", "the download gave the page of an error")
def _() -> Any:
    return b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n"


@kind("JSON", "IX302", "not an ONNX model", f"{OTHER}: protobuf's JSON form of a model, or a tokenizer")
def _() -> Any:
    return b'{"irVersion": "10", "graph": {"name": "main"}}\n'


@kind("onnx's text format", "IX302", "text", f"{OTHER}: what onnx.printer writes")
def _() -> Any:
    return onnx.printer.to_text(relu()).encode()


@kind("protobuf's text format", "IX302", "text", f"{OTHER}: what print(model) writes")
def _() -> Any:
    return str(relu()).encode()


@kind("a single tensor", "IX302", "not an ONNX model", f"{OTHER}: the .pb file of a test's input")
def _() -> Any:
    return const("x", [1, 2, 3]).SerializeToString()


@kind("a model without a graph", "IX302", "without a graph", "there is a version, but nothing to compute")
def _() -> Any:
    return b"\x08\x0a" + wire(8, b"\x10" + varint(21))


@kind("a FIFO", "IX301", "regular file", "reading waits for a writer that never comes")
def _(folder: Path) -> Any:
    os.mkfifo(folder / "model.onnx")
    return folder / "model.onnx"


@kind("a folder", "IX301", "a folder", "the path is that of a folder")
def _(folder: Path) -> Any:
    (folder / "model.onnx").mkdir()
    return folder / "model.onnx"
