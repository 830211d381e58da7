"""Nothing is found in models that are right: onnx's own tests, exports of interchange and of torch.onnx.

A finding of any severity in one of them is a false alarm, unless it is listed here with what is true of it.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx
import pytest
from graph_models import MODELS

import interchange as ix
from interchange.checker import check

ROOT = Path(__file__).parent.parent

# (model, code) -> why the finding is true of a model that is right otherwise
EXPECTED: dict[tuple[str, str], str] = {
    ("arithmetic by tracing, dynamic", "IX571"): "torch.onnx calls the rows of an output Concat30_dim_0",
}


def findings(name: str, model: Any) -> list[str]:
    """What is found in a model and not listed."""
    return [f"{name}: {f.text()}" for f in check(model).findings if (name, f.code) not in EXPECTED]


# -- onnx's own --------------------------------------------------------------------------------------------------------
@cache
def node_suite() -> dict[str, onnx.ModelProto]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {c.name: c.model for c in collect_testcases(None) if c.model is not None}


def shipped() -> list[Path]:
    """Model files inside of onnx's package: layers and functions as PyTorch exported them, small graphs."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data"
    return sorted(p for kind in ("simple", "pytorch-*") for p in folder.glob(f"{kind}/*/model.onnx"))


@pytest.mark.conformance
def test_the_node_suite() -> None:
    """All 1,884: every operator in every version's form, sequences, optionals, control flow, functions."""
    assert len(node_suite()) >= 1884
    assert [line for name, model in node_suite().items() for line in findings(name, model)] == []


@pytest.mark.conformance
def test_every_model_that_onnx_ships() -> None:
    assert len(shipped()) >= 140
    assert [line for path in shipped() for line in findings(path.parent.name, path)] == []


def test_some_models_that_onnx_ships() -> None:
    assert [line for path in shipped()[::4] for line in findings(path.parent.name, path)] == []


# -- ours --------------------------------------------------------------------------------------------------------------
def untrained(name: str) -> tuple[Any, Any]:
    """The model of a sample and its inputs, without its training, which changes no finding."""
    sys.path.insert(0, str(ROOT / "sample_models"))
    try:
        sample = importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "sample_models"))
    if name == "digits_torch":
        return sample.LeNet().eval(), {"x": "float32[batch, 1, 8, 8]"}
    if name == "digits_cnn":
        return sample.DigitReader().eval(), {"x": "float32[batch, 1, 8, 8]"}
    return sample.PetalWidth(), {"x": "float32[batch, 3]"}


@pytest.mark.parametrize("name", ["iris_regression", "digits_cnn", "digits_torch"])
@pytest.mark.parametrize("target", [None, "onnxruntime>=1.17"])
def test_exports_of_the_samples(name: str, target: str | None, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    if name == "digits_torch":
        pytest.importorskip("torch")
    model, inputs = untrained(name)
    path = tmp_path / f"{name}.onnx"
    ix.export(model, inputs, path, target=target)
    assert findings(name, path) == []
    assert check(path, target=target).findings == ()


def test_a_training_step_of_ours(tmp_path: Path) -> None:
    from interchange.eager import nn

    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    ix.export(model.train(), {"x": "float32[batch, 3]"}, tmp_path / "train.onnx")
    assert findings("train", tmp_path / "train.onnx") == []


# -- torch.onnx --------------------------------------------------------------------------------------------------------
NETS = ["mlp", "cnn", "residual", "autoencoder", "upsampling", "lstm", "gru", "transformer", "attention", "normalised",
        "arithmetic", "tied"]  # fmt: skip
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
needs_script = pytest.mark.skipif(
    find_spec("onnxscript") is None, reason="torch.onnx's newer exporter needs onnxscript"
)


def torch_findings(name: str, newer: bool) -> list[str]:
    """Of a net's export with fixed and with named sizes, if it has any to name."""
    import torch_onnx_nets as nets

    found = []
    for dynamic in (False, True):
        if not dynamic or nets.NETS[name]()[2] is not None:
            title = f"{name} by {'torch.export' if newer else 'tracing'}{', dynamic' if dynamic else ''}"
            found += findings(title, nets.exported(name, newer, dynamic))
    return found


@needs_torch
def test_all_nets_are_there() -> None:
    import torch_onnx_nets as nets

    assert list(nets.NETS) == NETS


@needs_torch
@pytest.mark.parametrize("name", NETS)
def test_torch_onnx_by_tracing(name: str) -> None:
    assert torch_findings(name, newer=False) == []


@needs_torch
@needs_script
def test_torch_onnx_by_torch_export() -> None:
    assert torch_findings("mlp", newer=True) == []


@needs_torch
@needs_script
@pytest.mark.conformance
@pytest.mark.parametrize("name", NETS)
def test_torch_onnx_by_torch_export_at_length(name: str) -> None:
    assert torch_findings(name, newer=True) == []


def test_what_is_listed_is_still_found() -> None:
    """An entry that nothing needs any more is taken out."""
    if find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    import torch_onnx_nets as nets

    codes = {f.code for f in check(nets.exported("arithmetic", False, True)).findings}
    assert codes == {code for name, code in EXPECTED if name.startswith("arithmetic")}


# -- everything that a file can say ------------------------------------------------------------------------------------
ODD = {
    "strings": "IX543",  # operators of a domain that nobody has
    "every_attribute_type": "IX543",
    "maps_and_denotations": "IX562",  # ZipMap of a tensor of rank 4
    "untyped_and_scalar": "IX519",  # an output without a type
}


@pytest.mark.parametrize("name", MODELS)
def test_models_that_say_everything(name: str) -> None:
    """They use every field there is."""
    found = check(MODELS[name]()[0]).findings
    assert [f.code for f in found] == ([ODD[name]] if name in ODD else []), [f.text() for f in found]
