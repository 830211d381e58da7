"""Bad models: every way we know in which a model file can be wrong or hostile, as small models made by code.

`KINDS` lists them by family; each says what is wrong with it and which codes the checker has to report.
``python -m tests.bad_models FOLDER`` writes them all as files, ``python -m tests.bad_models.compare`` makes
docs/bad_models.md: what this and other tools say to each.
"""

from .kind import KINDS, Kind  # isort: skip
from . import (  # noqa: F401  (each adds its kinds, in this order)
    attributes,
    bombs,
    control_flow,
    deploy,
    dtypes,
    external,
    files,
    functions,
    metadata,
    recursion,
    schema,
    scopes,
    shapes,
    structure,
    tensors,
    texts,
    wires,
)  # isort: skip

__all__ = ["KINDS", "Kind"]
