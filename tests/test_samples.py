"""The sample models do what they say: train on real data, export, come back, and are served by the runtime alone."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import interchange as ix
from interchange.eager import Tensor, random

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "sample_models"

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def samples():
    """The modules of the samples, imported as a reader's own."""
    sys.path.insert(0, str(SAMPLES))
    import digits_cnn
    import iris_regression

    yield {"iris": iris_regression, "digits": digits_cnn}
    sys.path.remove(str(SAMPLES))


@pytest.fixture(scope="module")
def iris_file(samples, tmp_path_factory):
    model, inputs = samples["iris"].make()
    path = tmp_path_factory.mktemp("iris") / "iris.onnx"
    ix.export(model, inputs, path, target="onnxruntime>=1.18")
    return path, model


@pytest.fixture(scope="module")
def digits(samples):
    return samples["digits"].make()


def test_iris_begins_at_the_textbook_cost_and_reaches_least_squares(samples):
    model, costs = samples["iris"].train()
    assert f"{costs[0]:.5f}" == "134.29327"
    x, y = samples["iris"].load()
    assert x.shape == (150, 3)
    solution, squares, _, _ = np.linalg.lstsq(np.c_[x, np.ones(len(x))].astype(np.float64), y, rcond=None)
    final = samples["iris"].cost(model, Tensor(x), Tensor(y)).item()
    assert final == pytest.approx(squares.item() / len(x), rel=1e-3)
    learned = [*model.linear.weight.numpy()[0], model.linear.bias.item()]
    np.testing.assert_allclose(learned, solution[:, 0], atol=0.02)


def test_iris_is_proven_and_comes_back(samples, iris_file, tmp_path):
    path, model = iris_file
    x = samples["iris"].load()[0]
    loaded = ix.load(path)
    assert loaded.evidence["ok"]
    assert [str(s) for s in loaded.inputs.values()] == ["x: float32[batch, 3]"]
    np.testing.assert_allclose(loaded.run(x=x)["output"], model(Tensor(x)).numpy(), rtol=1e-5)
    again = ix.import_model(path)
    assert [n for n, _ in again.named_parameters()] == ["linear.weight", "linear.bias"]
    np.testing.assert_allclose(again(Tensor(x)).numpy(), model(Tensor(x)).numpy(), rtol=1e-6)
    ix.export(again, path=tmp_path / "second.onnx", target="onnxruntime>=1.18")
    ix.export(ix.import_model(tmp_path / "second.onnx"), path=tmp_path / "third.onnx", target="onnxruntime>=1.18")
    assert (tmp_path / "second.onnx").read_bytes() == (tmp_path / "third.onnx").read_bytes()


def test_digits_are_read_and_read_the_same_by_the_runtime(samples, digits, tmp_path):
    model, inputs = digits
    _, images, _, truth = samples["digits"].load()
    assert len(truth) == 450
    eager = model(Tensor(images)).numpy()
    assert samples["digits"].accuracy(eager, truth) > 0.97
    served = ix.export(model, inputs, tmp_path / "digits.onnx").run(x=images)["output"]
    np.testing.assert_allclose(served, eager, rtol=1e-4, atol=1e-4)
    back = ix.import_model(tmp_path / "digits.onnx")(Tensor(images)).numpy()
    np.testing.assert_allclose(back, eager, rtol=1e-4, atol=1e-4)


def test_the_torch_sample_is_read_the_same_by_the_runtime(samples, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (the extra interchange[torch])")
    import digits_torch

    model, inputs = digits_torch.make()
    _, images, _, truth = digits_torch.load()
    with torch.no_grad():
        scores = model(torch.from_numpy(images))["scores"].numpy()
    assert digits_torch.accuracy(scores, truth) > 0.97
    loaded = ix.export(model, inputs, tmp_path / "digits.onnx", target="onnxruntime>=1.18")
    np.testing.assert_allclose(loaded.run(x=images)["scores"], scores, rtol=1e-4, atol=1e-4)
    back = ix.import_model(tmp_path / "digits.onnx")
    assert [n for n, _ in back.named_parameters()] == [n for n, _ in model.named_parameters()]
    np.testing.assert_allclose(back(Tensor(images))["scores"].numpy(), scores, rtol=1e-4, atol=1e-4)


def test_training_again_gives_the_same_model(samples):
    def weights():
        return samples["digits"].train(epochs=1).state_dict()

    first = weights()
    random.uniform((3,))  # what others draw in between does not matter
    second = weights()
    assert all((first[n].numpy() == second[n].numpy()).all() for n in first)


def test_the_serve_script_imports_no_training_code(iris_file):
    path, model = iris_file
    code = f"import runpy, sys, json; sys.argv = ['serve_script.py', {str(path)!r}]\n"
    code += f"runpy.run_path({str(SAMPLES / 'serve_script.py')!r}, run_name='__main__')\n"
    code += "print(json.dumps([m for m in sys.modules if m.startswith('interchange.')]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=path.parent)
    *answers, last = done.stdout.splitlines()
    research = ("eager", "ops", "frontends", "importers", "exporting", "parity", "cli")
    assert [m for m in json.loads(last) if m.split(".")[1] in research] == []
    expected = model(Tensor([[5.1, 3.5, 1.4], [7.0, 3.2, 4.7], [6.3, 3.3, 6.0]])).numpy().ravel()
    assert [a.split("-> ")[1] for a in answers] == [f"{w:.2f} cm wide" for w in expected]


def test_the_serve_script_takes_a_flower(iris_file):
    command = [sys.executable, str(SAMPLES / "serve_script.py"), str(iris_file[0]), "6.3", "3.3", "6.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sepal 6.3 x 3.3 cm, petal 6.0 cm long -> ")


def test_the_demo_runs_and_shows_its_commands():
    command = [sys.executable, str(SAMPLES / "demo.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "134.29327" in done.stdout
    for command in ("export", "show", "check", "verify"):
        assert f"\n$ interchange {command} " in done.stdout
    samples_read = 2 if find_spec("torch") is not None else 1
    assert done.stdout.count("read right by ONNX Runtime: 9") == samples_read
    assert (ROOT / ".demo" / "iris.onnx").is_file()
