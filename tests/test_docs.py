"""The documentation is true: every block of it runs, every error code has a section that provokes it, every link leads
somewhere."""

import ast
import re
import sys
import textwrap
from collections import Counter
from contextlib import contextmanager
from importlib.util import find_spec

import documents
import pytest

from interchange import schemas
from interchange.checker.rule import RULES, unregister
from interchange.errors import InterchangeError
from interchange.ops.frame import TABLE

SECTIONS = documents.sections()
GUIDES = [*sorted(documents.DOCS.glob("*.md")), documents.ROOT / "README.md"]
PAGES = [
    *GUIDES,
    *(documents.DOCS / "errors").glob("*.md"),
    *(documents.ROOT / n for n in ("CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md")),
]


WITHOUT_TORCH = "PyTorch is not installed (the extra interchange[torch])"
HAS_TORCH = find_spec("torch") is not None


def skip_without_torch(blocks):
    """Skip a page or section whose code needs PyTorch where there is none."""
    if not HAS_TORCH and any(re.search(r"^(import|from) torch\b", b.text, re.MULTILINE) for b in blocks):
        pytest.skip(WITHOUT_TORCH)


@contextmanager
def torch_back():
    """A block may act as if PyTorch were not installed; those after it have it again."""
    torch = sys.modules.get("torch")
    try:
        yield
    finally:
        if torch is not None:
            sys.modules["torch"] = torch
        elif "torch" in sys.modules and sys.modules["torch"] is None:
            del sys.modules["torch"]


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Each test in an empty folder; operators and lowerings that a page registers are gone afterwards."""
    monkeypatch.chdir(tmp_path)
    lowerings = sys.modules.get("interchange.frontends.torch.table")
    tables = [TABLE] if lowerings is None else [TABLE, lowerings.TABLE]
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)
    for domain, name in list(schemas.registry._registered):
        schemas.unregister(name, domain)
    for code in list(RULES):
        unregister(code)  # rules of the page; ours stay


def carries(error, code):
    """Whether an error is of this code, or is a report that tells of this code among others."""
    if isinstance(error, documents.CommandError):
        return re.search(rf"\b{code}\b", error.output) is not None
    report = error.code.startswith("IX5") or error.code in ("IX701", "IX921")
    return error.code == code or (report and re.search(rf"\b{code}\b", str(error)) is not None)


# -- error codes -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.code)
def test_the_broken_example_raises_the_code_and_the_repaired_one_runs(section, tmp_path, monkeypatch):
    place = f"docs/errors/{section.document}"
    skip_without_torch(section.blocks)
    runnable = [b for b in section.blocks if not b.file]
    assert len(runnable) == 2, f"{place}, {section.code}: one broken and one repaired block"
    files = [b for b in section.blocks if b.file]
    for block in runnable:  # each in an empty folder of its own
        folder = tmp_path / ("broken" if block is runnable[0] else "repaired")
        folder.mkdir()
        monkeypatch.chdir(folder)
        for file in files:
            documents.run(file, {}, place)
        if block is runnable[1]:
            documents.run(block, {}, place)
            continue
        with torch_back(), pytest.raises((InterchangeError, documents.CommandError)) as info:
            documents.run(block, {}, place)
        assert carries(info.value, section.code), f"{section.code} expected, not:\n{info.value}"


def codes_of_the_source():
    """The codes that the code can raise: string constants which are exactly a code."""
    found = Counter()
    for folder in ("interchange", "schemas", "cli"):
        for path in (documents.ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.update(re.findall(r"^IX\d{3}$", node.value))
    return found


def test_every_code_has_one_section_and_every_section_a_code():
    documented = Counter(s.code for s in SECTIONS)
    raised = codes_of_the_source()
    assert sorted(set(raised) - set(documented)) == [], "codes without a section in docs/errors"
    assert sorted(set(documented) - set(raised)) == [], "sections of codes that nothing raises"
    assert [c for c, n in documented.items() if n > 1] == [], "codes with two sections"


def test_the_index_of_errors_lists_every_section():
    index = (documents.DOCS / "errors" / "README.md").read_text(encoding="utf-8")
    assert documents.index_of_errors() in index, "docs/errors/README.md: run python tests/documents.py"


# -- guides ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("page", GUIDES, ids=lambda p: p.name)
def test_the_blocks_of_a_guide_run_in_order(page):
    namespace = {"__name__": page.stem}
    blocks = documents.blocks(page.read_text(encoding="utf-8"))
    skip_without_torch(blocks)
    for block in blocks:
        documents.run(block, namespace, page.name)


def test_the_operator_shown_is_the_one_in_the_code():
    page = (documents.DOCS / "operators.md").read_text(encoding="utf-8")
    shown = re.search(r"(?:^(?: {4}.*)?\n)+", page[page.index("    @op(") :], re.MULTILINE)
    source = (documents.ROOT / "interchange" / "ops" / "arithmetic.py").read_text(encoding="utf-8")
    assert textwrap.dedent(shown[0]).strip() in source


@pytest.mark.parametrize("page", PAGES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_links_lead_somewhere(page):
    for link in documents.links(page):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in documents.anchors(target), f"{page.name}: {link}"


def test_every_page_is_in_the_index():
    linked = documents.links(documents.DOCS / "README.md")
    assert {p.name for p in documents.DOCS.glob("*.md")} - {"README.md"} <= set(linked)
