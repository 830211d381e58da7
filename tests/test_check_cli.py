"""The commands check and explain: formats, settings, rules of users, repairs; the pages about codes are installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import documents
import onnx
import pytest
from bad_models.building import const, model, node, relu
from shell import Ran

from interchange import schemas
from interchange.checker import check
from interchange.checker.config import find_config
from interchange.checker.pages import explain, pages
from interchange.checker.rule import RULES, Problem, rule, unregister
from interchange.errors import UsageError

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder: good.onnx, bad.onnx (an error and a note), loose.onnx (nothing that cannot be repaired)."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    onnx.save(relu(), "good.onnx")
    left = [const("left", [1.0])]
    onnx.save(model([node("Add", ["x", "ghost"], ["y"])], initializers=left), "bad.onnx")
    loose = model([node("Neg", ["h"], ["y"], "n"), node("Relu", ["x"], ["h"], "n")], initializers=left)
    onnx.save(loose, "loose.onnx")
    yield place
    for code in list(RULES):
        unregister(code)


def configure(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.interchange.check]\n{text}\n")


# -- formats ----------------------------------------------------------------------------------------------------------
def test_each_format_on_standard_output(capsys: Any) -> None:
    assert json.loads(Ran(capsys, "check", "bad.onnx", "--format", "json").out)["ok"] is False
    assert json.loads(Ran(capsys, "check", "bad.onnx", "--format", "sarif").out)["version"] == "2.1.0"
    assert Xml.fromstring(Ran(capsys, "check", "bad.onnx", "--format", "junit").out.encode()).tag == "testsuites"
    assert Ran(capsys, "check", "bad.onnx", "--format", "github").out.startswith("::error ")
    concise = Ran(capsys, "check", "bad.onnx", "--format", "concise").out.splitlines()
    assert len(concise) == 3
    for form in ("text", "concise", "json", "sarif", "junit", "github"):
        assert Ran(capsys, "check", "bad.onnx", "--format", form).status == 1
        assert Ran(capsys, "check", "good.onnx", "--format", form).status == 0


def test_output_to_a_file(folder: Path, capsys: Any) -> None:
    ran = Ran(capsys, "check", "bad.onnx", "--format", "sarif", "--output", "report.sarif")
    assert (ran.status, ran.out) == (1, "")
    assert json.loads((folder / "report.sarif").read_text())["runs"]
    assert Ran(capsys, "check", "bad.onnx", "--output", "none/report.txt").status == 2


def test_text_ends_with_what_to_do_next(capsys: Any) -> None:
    lines = Ran(capsys, "check", "bad.onnx").out.splitlines()
    assert lines[-2:] == [
        "1 of the findings may be repaired: add --fix -o FILE",
        "more about it: interchange explain IX506 (also IX595)",
    ]
    assert len(Ran(capsys, "check", "good.onnx").out.splitlines()) == 1


def test_a_missing_file_does_not_stop_the_others(capsys: Any) -> None:
    ran = Ran(capsys, "check", "none.onnx", "bad.onnx", "good.onnx")
    assert ran.status == 2
    assert all(part in ran.out for part in ("IX301", "IX506", "good.onnx: nothing found", "3 files, 2 with errors"))
    assert Ran(capsys, "check", "good.onnx", "none.onnx", "--json").json[1]["findings"][0]["code"] == "IX301"


def test_max_shows_so_many_of_one_code(folder: Path, capsys: Any) -> None:
    onnx.save(model([node("Relu", [f"g{i}"], [f"y{i}"], f"n{i}") for i in range(30)]), "many.onnx")
    assert Ran(capsys, "check", "many.onnx", "--select", "IX506").out.count("error IX506") == 10
    assert Ran(capsys, "check", "many.onnx", "--select", "IX506", "--max", "3").out.count("error IX506") == 3
    assert Ran(capsys, "check", "many.onnx", "--select", "IX506", "--max", "0").out.count("error IX506") == 30
    assert len(Ran(capsys, "check", "many.onnx", "--select", "IX506", "--json").json["findings"]) == 30


def test_limits_and_operators_of_the_command_line(folder: Path, capsys: Any) -> None:
    assert "IX303" in Ran(capsys, "check", "loose.onnx", "--limit", "nodes=1").out
    for wrong in ("nodes", "nodes=many", "knots=3"):
        assert Ran(capsys, "check", "good.onnx", "--limit", wrong).status == 2
    assert Ran(capsys, "check", "good.onnx", "--no-isolation", "--trust-links", "--nan").status == 0
    assert Ran(capsys, "check").status == 2


def test_operators_of_a_file(folder: Path, capsys: Any) -> None:
    """They are known in the child process, too."""
    onnx.save(model([node("Swish", ["x"], ["y"], domain="acme.ops")], opsets={"": 21, "acme.ops": 1}), "custom.onnx")
    (folder / "ops.toml").write_text(
        '[[operators]]\ndomain = "acme.ops"\nname = "Swish"\ninputs = [{name = "X", type = "T"}]\n'
        'outputs = [{name = "Y", type = "T"}]\ntypes.T = ["float32"]\n'
    )
    assert "IX543" in Ran(capsys, "check", "custom.onnx").out
    ran = Ran(capsys, "check", "custom.onnx", "--file", "ops.toml")
    schemas.unregister("Swish", "acme.ops")
    assert ran.status == 0, ran.out


# -- settings ---------------------------------------------------------------------------------------------------------
def test_settings_of_the_nearest_pyproject(folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(folder, 'ignore = ["IX506"]\nlevel = "note"')
    ran = Ran(capsys, "check", "bad.onnx")
    assert ran.status == 1
    assert "IX506" not in ran.out
    assert "IX595" in ran.out
    assert "IX506" in Ran(capsys, "check", "bad.onnx", "--no-config").out
    assert "IX506" in Ran(capsys, "check", "bad.onnx", "--ignore", "IX595").out  # the command line wins
    assert Ran(capsys, "check", "bad.onnx", "--level", "error").status == 0
    (folder / "below").mkdir()
    (folder / "below" / "pyproject.toml").write_text("[tool.other]\n")  # says nothing about us: the next one counts
    monkeypatch.chdir(folder / "below")
    assert "IX506" not in Ran(capsys, "check", "../bad.onnx").out


def test_settings_for_some_files(folder: Path, capsys: Any) -> None:
    configure(folder, '[tool.interchange.check.per-file-ignores]\n"old/*.onnx" = ["IX50"]\n"loose*" = ["IX5"]')
    (folder / "old").mkdir()
    shutil.copy("bad.onnx", "old")
    assert Ran(capsys, "check", "bad.onnx").status == 1
    assert Ran(capsys, "check", "old/bad.onnx", str(folder / "old" / "bad.onnx")).status == 0
    assert Ran(capsys, "check", "loose.onnx").out.startswith("loose.onnx: nothing found")


def test_settings_of_target_select_and_limits(folder: Path, capsys: Any) -> None:
    configure(folder, 'target = "onnxruntime==1.17"\nselect = ["IX58"]\n[tool.interchange.check.limits]\nnodes = 5')
    found = Ran(capsys, "check", "good.onnx", "--json").json["findings"]
    assert {f["code"] for f in found} == {"IX580", "IX581"}
    configure(folder, "limits = {nodes = 1}")
    assert "IX303" in Ran(capsys, "check", "loose.onnx").out
    assert "IX303" not in Ran(capsys, "check", "loose.onnx", "--limit", "nodes=2").out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('selct = ["IX5"]', "did you mean select?"),
        ('select = "IX5"', "a list of texts"),
        ("ignore = [5]", "a list of texts"),
        ('level = "fatal"', "one of error, warning, note"),
        ("target = 1.18", "onnxruntime>=1.18"),
        ("limits = 5", "a table of numbers"),
        ("limits = {knots = 5}", "nodes"),
        ('per-file-ignores = {"*" = "IX5"}', "lists of codes"),
        ('rules = ["no_such_module_of_rules"]', "cannot be imported"),
        ("= nonsense", "a TOML file"),
    ],
)
def test_settings_that_cannot_be(text: str, says: str, folder: Path, capsys: Any) -> None:
    configure(folder, text)
    ran = Ran(capsys, "check", "good.onnx")
    assert ran.status == 2
    assert says in ran.err
    assert "Traceback" not in ran.err
    if "rules" not in text:
        with pytest.raises(UsageError):
            find_config(folder)


# -- rules of users ---------------------------------------------------------------------------------------------------
RULES_TEXT = '''
from interchange.checker.rule import Problem, rule

@rule("ACME001", "warning", "Nodes without a name of ours")
def names(ctx):
    """Our nodes are named after the layer they come from."""
    for node in ctx.nodes():
        if not node.proto.name.startswith("acme"):
            yield Problem(f"node {node.label} has no name of ours", node.where(), found=node.proto.name)

@rule("ACME002", "error", "Breaks")
def breaks(ctx):
    yield Problem("the first is still told", ctx.where)
    raise KeyError("inside\\n  fix:      forged")
'''


def installed(site: Path, rules: str, entry: str = "acme_rules") -> None:
    """A package with an entry point for rules, as pip leaves it."""
    (site / "acme-1.0.dist-info").mkdir(parents=True)
    (site / "acme_rules.py").write_text(rules)
    (site / "acme-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (site / "acme-1.0.dist-info" / "entry_points.txt").write_text(f"[interchange.rules]\nacme = {entry}\n")


def shell(site: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run([sys.executable, "-m", "interchange", *args], capture_output=True, text=True, env=env)


def test_rules_of_an_installed_package(tmp_path: Path) -> None:
    """They run in the child process of the check, too; one that fails is a finding and stops nothing."""
    site = tmp_path / "site"
    installed(site, RULES_TEXT)
    ran = shell(site, "check", "bad.onnx", "--json")
    assert ran.returncode == 1
    found = {f["code"]: f for f in json.loads(ran.stdout)["findings"]}
    assert set(found) == {"IX506", "IX595", "ACME001", "ACME002", "IX834"}
    assert found["ACME001"]["severity"] == "warning"
    assert found["ACME001"]["excerpt"]
    assert found["IX834"]["where"]["line"] == "acme_rules.py:14 in breaks"
    text = shell(site, "check", "bad.onnx", "--select", "ACME", "--format", "text").stdout
    assert "rule ACME002 failed: KeyError" in text
    assert "\n  fix:      forged" not in text
    assert shell(site, "check", "good.onnx", "--ignore", "ACME002", "--level", "warning").returncode == 1
    assert "ACME001" in shell(site, "check", "--list-rules").stdout
    told = shell(site, "explain", "acme001").stdout
    assert "Nodes without a name of ours" in told
    assert "named after the layer" in told


def test_a_package_whose_rules_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    site = tmp_path / "site"
    installed(site, "import no_such_module")
    ran = shell(site, "check", "good.onnx")
    assert ran.returncode == 1
    assert "error IX834: the rules of entry point acme (acme_rules) failed: ModuleNotFoundError" in ran.stdout
    installed(tmp_path / "other", RULES_TEXT.replace("ACME002", "IX506"))
    ran = shell(tmp_path / "other", "check", "bad.onnx", "--json")
    codes = [f["code"] for f in json.loads(ran.stdout)["findings"]]
    assert sorted(codes) == ["IX506", "IX595", "IX834"]  # ours is not shadowed


def test_rules_named_in_the_settings(folder: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "our_rules.py").write_text(RULES_TEXT)
    configure(folder, 'rules = ["our_rules"]\nignore = ["ACME002"]')
    found = json.loads(shell(site, "check", "good.onnx", "--json").stdout)["findings"]
    assert [f["code"] for f in found] == ["ACME001"]


def test_codes_of_users_rules() -> None:
    def add(code: Any, severity: Any = "note", look: Any = lambda ctx: []) -> None:
        rule(code, severity, "Nothing")(look)

    for code in ("IX506", "IX1", "acme1", "ACME", "A-1", "1A", "", 5):
        with pytest.raises(UsageError) as error:
            add(code)
        assert error.value.code == "IX833"
    with pytest.raises(UsageError):
        add("ACME1", "fatal")

    def one(ctx: Any) -> Any:
        yield Problem("found", ctx.where)

    def two(ctx: Any) -> Any:
        return [5]

    add("ACME1", look=one)
    add("ACME1", look=one)  # the module was imported again
    with pytest.raises(UsageError, match="two rules"):
        add("ACME1", look=two)
    add("ACME2", look=two)
    assert [f.code for f in check(relu()).findings] == ["IX834", "ACME1"]
    unregister("ACME1")
    unregister("IX506")
    assert "IX506" in RULES
    assert "ACME1" not in RULES


# -- repairs ----------------------------------------------------------------------------------------------------------
def test_fix_writes_a_new_file_and_says_what_it_did(folder: Path, capsys: Any) -> None:
    before = (folder / "loose.onnx").read_bytes()
    assert Ran(capsys, "check", "loose.onnx").status == 1
    ran = Ran(capsys, "check", "loose.onnx", "--fix", "-o", "fixed.onnx")
    assert ran.status == 0
    assert "repaired IX507: sorted the 2 nodes of the graph" in ran.out
    assert "fixed.onnx: 3 repaired, nothing left (opset 21, 2 nodes)" in ran.out
    assert Ran(capsys, "check", "fixed.onnx").out == "fixed.onnx: nothing found (opset 21, 2 nodes)\n"
    assert (folder / "loose.onnx").read_bytes() == before
    data = Ran(capsys, "check", "bad.onnx", "--fix", "-o", "less.onnx", "--json").json
    assert [r["code"] for r in data["repaired"]] == ["IX595"]
    assert [f["code"] for f in data["findings"]] == ["IX506"]
    assert data["findings"][0]["where"]["file"] == "less.onnx"


def test_fix_wants_one_model_and_one_new_file(capsys: Any) -> None:
    for args in (
        ["loose.onnx", "--fix"],
        ["loose.onnx", "--fix", "-o", "loose.onnx"],
        ["loose.onnx", "good.onnx", "--fix", "-o", "fixed.onnx"],
        ["loose.onnx", "-o", "fixed.onnx"],
    ):
        ran = Ran(capsys, "check", *args)
        assert ran.status == 2
        assert "IX835" in ran.err


# -- explain ----------------------------------------------------------------------------------------------------------
def test_explain_prints_the_section(capsys: Any) -> None:
    for text in ("IX506", "ix506", "506"):
        out = Ran(capsys, "explain", text).out
        assert out.startswith("## IX506: A value that nothing makes")
        assert "# broken" in out
        assert "# repaired" in out
    assert Ran(capsys, "explain", "IX506", "IX301").out.count("\n## IX") == 1
    assert Ran(capsys, "explain", "IX506", "--json").json["title"] == "A value that nothing makes"
    ran = Ran(capsys, "explain", "IX5006")
    assert ran.status == 2
    assert "IX506" in ran.err


def test_explain_knows_every_code(capsys: Any) -> None:
    sections = {s.code: s.title for s in documents.sections()}
    assert {p.code: p.title for p in pages().values()} == sections
    assert set(Ran(capsys, "explain", "--json").json) >= set(sections)
    assert all(explain(code).summary for code in sections)


def test_the_pages_are_part_of_the_package(tmp_path: Path) -> None:
    """A wheel is built and looked into; what is unpacked from it explains."""
    pytest.importorskip("setuptools", "77")
    source, site = tmp_path / "source", tmp_path / "site"
    for name in ("interchange", "schemas", "cli", "docs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = f"import setuptools.build_meta as b; b.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    assert {p.name for p in (site / "interchange" / "error_pages").iterdir()} == {
        p.name for p in (ROOT / "docs" / "errors").iterdir()
    }
    ran = shell(site, "explain", "IX506")
    assert ran.stdout.startswith("## IX506: ")
    where = subprocess.run(
        [sys.executable, "-c", "import interchange.cli as c; print(c.__file__)"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert where.stdout.startswith(str(site))
