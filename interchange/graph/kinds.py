"""What a file is that is no ONNX model, told by its content, and the command that is meant for it."""

from __future__ import annotations

from pathlib import Path

_LOOK = 1 << 16  # bytes at each end in which the name of a format is looked for

_EXPORT = "give the .onnx file itself; other formats have to be exported first"
_CHECKPOINT = "weights alone have no graph: interchange export model.py:make_model --weights FILE"
_FRAMEWORK = "export it with that framework's own exporter first, then check the .onnx file"

# how a file begins -> (what it is, what to do)
_MAGIC = (
    (b"\x89HDF\r\n", "an HDF5 file (a Keras .h5 model)", _FRAMEWORK),
    (b"\x80", "a Python pickle (an older PyTorch or scikit-learn file)", _CHECKPOINT),
    (b"GGUF", "a GGUF file", _FRAMEWORK),
    (b"\x93NUMPY", "a NumPy .npy array", "data for a model goes into: interchange run MODEL --input NAME=FILE"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"BZh", "a bzip2 archive", "unpack it first"),
    (b"\xfd7zXZ", "an xz archive", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer: the model itself was not fetched", "run: git lfs pull"),
)

# what a zip archive holds -> (what it is, what to do); the first one found counts
_ARCHIVES = (
    (b"models/model.json", "a program of torch.export (.pt2)", "interchange export FILE.pt2 -o model.onnx"),
    (b"model.json", "a program of torch.export (.pt2)", "interchange export FILE.pt2 -o model.onnx"),
    (b"constants.pkl", "a TorchScript archive (.pt)", "export the module it was made from: interchange export --help"),
    (b"data.pkl", "a PyTorch checkpoint (.pt, .pth)", _CHECKPOINT),
    (b"model.weights.h5", "a Keras model (.keras)", _FRAMEWORK),
    (b".npy", "a NumPy .npz archive", "data for a model goes into: interchange run MODEL --data FILE"),
    (b".onnx", "a zip archive with an .onnx file in it", "unpack it first"),
    (b"", "a zip archive (a PyTorch .pt/.pth checkpoint, a .keras file, an .npz)", _EXPORT),
)


def kind_of(data: memoryview, name: str = "") -> tuple[str, str]:
    """(what the bytes are, what to do); ("", ...) if that is not known. name: of the file, which may tell more."""
    head = bytes(data[:_LOOK])
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        text = head + bytes(data[max(len(data) - _LOOK, 0) :])  # the list of names is at the end
        return next((what, fix) for part, what, fix in _ARCHIVES if part in text)
    for magic, what, fix in _MAGIC:
        if head.startswith(magic):
            return what, fix
    if head[4:8] == b"ORTM":
        return "a model in ONNX Runtime's own .ort format", "give the .onnx file that it was made from"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model", _FRAMEWORK
    if head[8:9] == b"{":
        return "a safetensors file: weights without a graph", _CHECKPOINT
    if Path(name).name == "saved_model.pb" or b"saved_model_main_op" in head or b'"\x05serve' in head:
        return "a TensorFlow SavedModel", _FRAMEWORK
    return _text(head)


def _text(head: bytes) -> tuple[str, str]:
    start = head[:200].removeprefix(b"\xef\xbb\xbf")
    if not start or not all(32 <= b < 127 or b in b"\t\r\n" for b in start):
        return "", ""
    if start.lstrip().startswith(b"{"):
        onnx = b'"irVersion"' in head or b'"graph"' in head
        return (
            ("a model as JSON text", "onnx.load(path, format='json') reads it; save it as .onnx")
            if onnx
            else ("JSON text", _EXPORT)
        )
    if b"ir_version" in head:
        reader = "parser.parse_model(text)" if start.lstrip().startswith(b"<") else "load(path, format='textproto')"
        return "an ONNX model as text", f"onnx.{reader} reads it; save it as .onnx"
    if start.lstrip().startswith(b"<"):
        return "an HTML or XML page (a download that failed?)", "download the file itself"
    return f"text: {start[:40].decode()!r}", _EXPORT
