"""Passes: each a function that changes a ModelIR in place, keeps what it computes, and tells how much it changed."""

from interchange.graph.passes.cse import cse
from interchange.graph.passes.dce import dce
from interchange.graph.passes.detour import Detour, detour
from interchange.graph.passes.fold import fold
from interchange.graph.passes.infer import infer
from interchange.graph.passes.names import unique_names
from interchange.graph.passes.outline import module_groups, outline

__all__ = ["Detour", "cse", "dce", "detour", "fold", "infer", "module_groups", "outline", "unique_names"]
