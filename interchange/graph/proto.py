"""ModelProto <-> ModelIR, without loss: the meaning, names, metadata and doc strings stay.

What may change in the bytes: tensors in typed fields become raw data, attributes are put in the order of their names,
value_info of values that do not exist is dropped, nodes that are not in order are sorted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from interchange.graph.core import ModelIR
from interchange.graph.external import Folder
from interchange.graph.reading import Reader
from interchange.graph.writing import Place, Writer

if TYPE_CHECKING:
    import onnx


def from_proto(
    proto: onnx.ModelProto,
    base_dir: str | os.PathLike[str] | None = None,
    *,
    windows: Mapping[int, memoryview] | None = None,
    trust_links: bool = False,
) -> ModelIR:
    """The graph of a ModelProto.

    base_dir: the folder of the model's external data, which is mapped, not read.  windows: raw data that was left out
    of the proto, by position of the initializer in the main graph (`files.load` maps it).  trust_links: see
    `external.Folder`.
    Raises FileError IX302 for text that is not UTF-8, IX304 to IX306 for external data, IX310 to IX318 for a malformed
    model, with node and value.
    """
    return Reader(Folder(base_dir, trust_links).window, windows or {}).model(proto)


def to_proto(model: ModelIR, *, place: Place | None = None) -> onnx.ModelProto:
    """The ModelProto of a graph. The same graph gives the same message.

    place: called with each initializer and its TensorProto; True when it has put the data elsewhere (`files.save`).
    Raises FileError IX310 to IX319 when names or order do not say what the graph says, or a value does not fit.
    """
    return Writer(place).model(model)
