"""The house stays in order: imports run downward, production carries no research, public names are the documented ones,
files stay small."""

import ast
import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import interchange

ROOT = Path(__file__).parent.parent
PACKAGE = {
    "interchange": ROOT / "interchange",
    "interchange.schemas": ROOT / "schemas",
    "interchange.cli": ROOT / "cli",
}

# what each layer may import of the others (docs/architecture.md); the longest prefix of a module's name decides
BASE = {"errors", "collecting", "dtypes", "dims"}
CORE = BASE | {"schemas", "graph"}
EAGER = CORE | {"ops", "eager", "eager.array_api"}
LAYERS = {
    "errors": set(),
    "collecting": set(),
    "dtypes": {"errors"},
    "dims": {"errors", "dtypes"},
    "sampling": BASE,  # inputs to try a model on
    "schemas": BASE,
    "graph": BASE | {"schemas"},
    "ops": EAGER,
    "eager": EAGER,  # the core: tensor, tape, trace, compile
    "eager.nn": EAGER | {"eager.nn"},
    "eager.optim": EAGER | {"eager.nn"},
    "eager.array_api": EAGER,
    "eager.data": EAGER | {"eager.nn"},
    "eager.state_files": EAGER | {"eager.nn", "eager.optim"},
    "checker": CORE,
    "runtime": CORE | {"checker"},
    "protocol": CORE | {"runtime"},  # what the server and its clients share
    "serving": CORE | {"sampling", "checker", "runtime", "parity", "protocol"},
    "client": CORE | {"runtime", "protocol"},
    "comparing": CORE | {"sampling", "checker", "runtime", "parity"},
    "parity": CORE | {"sampling", "checker", "runtime"},
    "importers": EAGER | {"eager.nn", "checker"},
    "frontends": EAGER | {"sampling", "eager.nn", "checker", "importers"},
    "exporting": EAGER | {"sampling", "eager.nn", "checker", "runtime", "parity", "importers", "frontends"},
    "__main__": {"cli"},
    "cli": EAGER
    | {
        "eager.nn",
        "eager.optim",
        "eager.state_files",
        "checker",
        "runtime",
        "parity",
        "comparing",
        "protocol",
        "serving",
        "client",
        "importers",
        "frontends",
        "exporting",
    },
}

# names of `interchange` that live elsewhere: `from interchange import export` is an import of exporting
FACADE = {name: home.removeprefix("interchange.") for name, home in interchange._HOME.items()}


def modules():
    """(name below interchange, path) of every module."""
    for prefix, folder in PACKAGE.items():
        for path in folder.rglob("*.py"):
            parts = [*prefix.split("."), *path.relative_to(folder).with_suffix("").parts]
            name = ".".join(p for p in parts if p != "__init__")
            if name != "interchange":
                yield name.removeprefix("interchange."), path


MODULES = dict(modules())


def layer(module):
    return max((key for key in LAYERS if f"{module}.".startswith(f"{key}.")), key=len, default=None)


def imports(tree):
    """The modules of interchange that the code imports anywhere, but for types only."""
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (a.name.removeprefix("interchange.") for a in node.names if a.name.startswith("interchange."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "interchange":
            below = node.module.removeprefix("interchange").removeprefix(".")
            for alias in node.names:
                whole = f"{below}.{alias.name}".removeprefix(".")
                if whole in MODULES:
                    yield whole
                elif below:
                    yield below
                elif alias.name in FACADE:
                    yield FACADE[alias.name]


def test_every_module_has_a_layer():
    assert [m for m in MODULES if layer(m) is None] == []


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_imports_run_downward(name):
    allowed = LAYERS[name] | {name}
    wrong = [
        f"{module} imports {target}"
        for module, path in MODULES.items()
        if layer(module) == name
        for target in imports(ast.parse(path.read_text(encoding="utf-8")))
        if layer(target) not in allowed
    ]
    assert wrong == []


def loaded_after(code):
    """The modules a fresh interpreter holds after running `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_is_small():
    new = loaded_after("import interchange") - loaded_after("")
    heavy = {m.split(".")[0] for m in new} & {
        "onnx",
        "onnxruntime",
        "torch",
        "numpy",
        "rich",
        "click",
        "google",
        "sklearn",
    }
    assert heavy == set()
    assert {m for m in new if m.startswith("interchange")} == {"interchange", "interchange.errors"}
    assert len(new) < 20


def test_production_loads_no_research_code(tmp_path):
    path = tmp_path / "double.onnx"
    interchange.export(lambda x: x * 2, {"x": "float32[n]"}, path)
    new = loaded_after(
        "import numpy as np, interchange as ix\n"
        f"model = ix.load({str(path)!r})\n"
        "assert model.run(x=np.ones(3, np.float32))['output'].tolist() == [2, 2, 2]"
    )
    research = ("eager", "ops", "frontends", "importers", "exporting", "parity", "comparing", "cli")
    assert [m for m in new if m.split(".")[:2] in [["interchange", r] for r in research]] == []
    assert not {m.split(".")[0] for m in new} & {
        "torch",
        "jax",
        "tensorflow",
        "sklearn",
        "safetensors",
        "rich",
        "click",
    }


PUBLIC = {
    "Dim",
    "InterchangeError",
    "Model",
    "Spec",
    "__version__",
    "check",
    "diff",
    "export",
    "import_model",
    "load",
    "verify",
}


def test_the_public_names_are_the_documented_ones():
    assert set(interchange.__all__) == PUBLIC
    assert set(interchange._HOME) | {"InterchangeError", "__version__"} == PUBLIC
    guide = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").glob("*.md"))
    missing = [
        n for n in PUBLIC - {"__version__", "InterchangeError"} if f"ix.{n}" not in guide and f"`{n}" not in guide
    ]
    assert missing == [], "public names that no page of docs/ mentions"


ALLOWED_EXTRA = {"annotations", "Any", "TYPE_CHECKING"}  # what a module with a __getattr__ needs


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".checker",
        ".comparing",
        ".eager",
        ".eager.nn",
        ".eager.optim",
        ".graph",
        ".importers",
        ".runtime",
        ".schemas",
        ".parity",
    ],
)
def test_all_names_exist_and_every_other_name_is_private_or_a_module(name):
    module = importlib.import_module(f"interchange{name}")
    for public in module.__all__:
        assert hasattr(module, public), public
    assert len(set(module.__all__)) == len(module.__all__)
    extra = [
        n
        for n, value in vars(module).items()
        if not n.startswith("_")
        and n not in module.__all__
        and not isinstance(value, type(ast))
        and n not in ALLOWED_EXTRA
    ]
    assert extra == []


LONG_FILES: dict[str, str] = {}  # path -> why it is longer than 600 lines


def test_files_stay_small():
    folders = ("interchange", "schemas", "cli", "sample_models", "benchmarks", "tests")
    long = {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if len(path.read_text(encoding="utf-8").splitlines()) > 600
    }
    assert long == set(LONG_FILES)


def test_every_package_is_shipped():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    found = {"interchange", *(f"interchange.{m}" for m, path in MODULES.items() if path.name == "__init__.py")}
    assert set(listed) == found | {"interchange.error_pages"}  # docs/errors: pages without code
