"""Reading the documentation as a program: sections, code blocks, links; and running the blocks."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^```(\w*)[ \t]*([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^## (IX\d{3}): (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block. file: its name where it is a file that the blocks after it use (```python model.py)."""

    language: str
    file: str
    text: str
    line: int


@dataclass(frozen=True)
class Section:
    """What docs/errors says of one code."""

    document: str
    code: str
    title: str
    text: str
    blocks: tuple[Block, ...]


def blocks(text: str, first_line: int = 1) -> tuple[Block, ...]:
    """The python and console blocks of a text, in order."""
    return tuple(
        Block(m[1], m[2], m[3], first_line + text.count("\n", 0, m.start()))
        for m in _BLOCK.finditer(text)
        if m[1] in ("python", "console") or m[2]
    )


def sections() -> list[Section]:
    """Every section of docs/errors, sorted by code."""
    found = []
    for path in sorted((DOCS / "errors").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        heads = [*_SECTION.finditer(text)]
        ends = [*(m.start() for m in heads[1:]), len(text)][: len(heads)]
        for head, end in zip(heads, ends, strict=True):
            body = text[head.end() : end]
            line = text.count("\n", 0, head.end()) + 1
            found.append(Section(path.name, head[1], head[2].strip(), body, blocks(body, line)))
    return sorted(found, key=lambda s: s.code)


def links(path: Path) -> list[str]:
    """The targets of a document's links, without those inside code."""
    return _LINK.findall(_BLOCK.sub("", path.read_text(encoding="utf-8")))


def anchors(path: Path) -> set[str]:
    """The names that a document's headings can be linked by (GitHub's rule)."""
    heads = re.findall(r"^#+ (.+)$", _BLOCK.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


def index_of_errors() -> str:
    """What docs/errors/README.md must say below its first line of the table."""
    rows = []
    for s in sections():
        anchor = re.sub(r"[^\w\- ]", "", f"{s.code}: {s.title}".lower()).replace(" ", "-")
        rows.append(f"| [{s.code}]({s.document}#{anchor}) | {s.title} |")
    return "\n".join(rows) + "\n"


def run(block: Block, namespace: dict[str, object], place: str) -> str:
    """Run a block in the working folder: python in `namespace`, console commands one by one. Returns what they print.

    A console block holds lines ``$ interchange ...``; what else it shows is their output, for the reader.
    """
    if block.file:
        Path(block.file).write_text(block.text, encoding="utf-8")
        return ""
    if block.language == "python":
        # at the block's own line of the document, so that a traceback points into it
        exec(compile("\n" * block.line + block.text, place, "exec", dont_inherit=True), namespace)
        return ""
    return "".join(command(line[2:]) for line in block.text.splitlines() if line.startswith("$ "))


class CommandError(Exception):
    """A command ended with another status than 0; `output` is what it printed."""

    def __init__(self, line: str, status: int, output: str) -> None:
        super().__init__(f"{line}: status {status}\n{output}")
        self.output = output


def command(line: str) -> str:
    """Run ``interchange ...`` in this process; what it prints, to both streams."""
    from interchange.cli import cli

    words = shlex.split(line, comments=True)
    assert words[0] == "interchange", f"only interchange's own commands are run: {line}"
    result = CliRunner().invoke(cli, words[1:])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code:
        raise CommandError(line, result.exit_code, result.output)
    return result.output


def write_index_of_errors() -> None:
    """Bring the table of docs/errors/README.md up to date: ``python tests/documents.py``."""
    page = DOCS / "errors" / "README.md"
    head, mark, _ = page.read_text(encoding="utf-8").partition("| code | |\n|---|---|\n")
    page.write_text(head + mark + index_of_errors(), encoding="utf-8")


if __name__ == "__main__":
    write_index_of_errors()
