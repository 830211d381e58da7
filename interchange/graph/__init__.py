"""The graph: in memory (`core`), as a ModelProto (`proto`), in files (`files`), and the passes over it (`passes`)."""

from interchange.graph.core import Attr, AttrType, Function, Graph, ModelIR, Node, Value
from interchange.graph.tensor import SparseTensor, Tensor

__all__ = ["Attr", "AttrType", "Function", "Graph", "ModelIR", "Node", "SparseTensor", "Tensor", "Value"]
