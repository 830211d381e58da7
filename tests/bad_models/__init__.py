"""Bad models: every way we know in which a model file can be wrong or hostile, as small models made by code.

`KINDS` lists them by family; each says what is wrong with it and which codes the checker has to report.
``python -m tests.bad_models FOLDER`` writes them all as files, ``python -m tests.bad_models.compare`` makes
docs/bad_models.md: what this and other tools say to each.
"""

from importlib import import_module

from .kind import KINDS, Kind

FAMILIES = (
    *("files", "wires", "structure", "scopes", "functions", "schema", "attributes", "dtypes", "shapes", "tensors"),
    *("external", "texts", "recursion", "bombs", "control_flow", "deploy", "metadata"),
)
for _family in FAMILIES:
    import_module(f".{_family}", __name__)  # adds its kinds to KINDS

__all__ = ["KINDS", "Kind"]
