"""``interchange schema`` as a user meets it."""

import json

import pytest
from click.testing import CliRunner

from interchange import schemas
from interchange.cli.schema import command
from interchange.errors import SchemaError


def run(*args):
    return CliRunner().invoke(command, list(args), catch_exceptions=False)


def test_signature_of_an_operator():
    result = run("Conv", "--opset", "17")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "Conv-11  (versions 1, 11, 22)"
    assert "  group         int = 1  # number of groups input channels and output channels are divided into." in lines
    assert "  T  float16, float32, float64" in lines
    assert "  B  T, optional  # Optional 1D bias to be added to the convolution, has size of M." in lines
    assert "one of 'NOTSET', 'SAME_UPPER', 'SAME_LOWER', 'VALID'" in result.output
    assert "\x1b" not in result.output


def test_json():
    content = json.loads(run("FusedMatMul", "--domain", "com.microsoft", "--json").output)
    assert content["name"] == "FusedMatMul"
    assert content["versions"] == [1]
    assert content["type_constraints"]["T"] == sorted(content["type_constraints"]["T"])
    assert {a["name"] for a in content["attributes"]} >= {"alpha", "transA"}


def test_every_operator_can_be_shown():
    for domain in schemas.domains():
        for name in schemas.operators(domain):
            assert run(name, "--domain", domain).output.startswith(schemas.schema(name, domain=domain).title)
            json.loads(run(name, "--domain", domain, "--json").output)


def test_diff():
    assert run("--diff", "Resize", "13", "19").output.strip() == str(schemas.diff("Resize", 13, 19))
    assert json.loads(run("--diff", "Resize", "13", "19", "--json").output)["new_version"] == 19


def test_list():
    assert run("--list", "--domain", "ai.onnx.ml").output.split() == list(schemas.operators("ai.onnx.ml"))
    assert "Gelu" not in run("--list", "--opset", "17").output.split()
    assert json.loads(run("--list", "--json").output) == list(schemas.operators())


def test_file(tmp_path):
    path = tmp_path / "ops.toml"
    path.write_text('[[operators]]\ndomain = "test.cli"\nname = "Mine"\noutputs = [{ name = "Y", type = "float32" }]\n')
    result = run("Mine", "--domain", "test.cli", "--file", str(path))
    schemas.unregister("Mine", "test.cli")
    assert result.output.startswith("test.cli::Mine-1")


@pytest.mark.parametrize("args", [(), ("Conv", "--list"), ("Conv", "--diff", "Conv", "11", "22"), ("--opset", "x")])
def test_usage(args):
    assert run(*args).exit_code == 2


def test_errors_rise_for_the_group_to_print():
    with pytest.raises(SchemaError, match="IX401") as info:
        run("Konv")
    assert info.value.exit_code == 2


def test_tables_on_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False)
    output = run("Upsample", "--opset", "10").output
    assert "\x1b[" in output
    assert "deprecated" in output
    assert "attributes" in output
