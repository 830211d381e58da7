"""``interchange show``: what a person wants to know about a model file."""

from __future__ import annotations

from typing import Any

import click


@click.command("show")
@click.argument("path", type=click.Path())
@click.option(
    "--size", "sizes", multiple=True, metavar="NAME=N", help="A size for counting: batch=1; several times for more."
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(path: str, sizes: tuple[str, ...], as_json: bool) -> None:
    """Tell what the model file PATH is: what it takes and gives, its size and work, where it runs, what was proven.

    \b
    interchange show model.onnx
    interchange show model.onnx --size batch=1
    """
    from interchange.checker.context import plural
    from interchange.checker.summary import summarize
    from interchange.cli.output import emit
    from interchange.cli.tables import detour_lines, show_sections

    found = summarize(path, _sizes(sizes))
    if as_json:
        emit(found, True, "")
        return
    work = found["macs"]
    show_sections(
        {
            path: [[k, str(v)] for k, v in found["model"].items() if v],
            "Inputs": [[text] for text in found["inputs"]],
            "Outputs": [[text] for text in found["outputs"]],
            "State": [[f"{s['name']} -> {s['output']}"] for s in found["state"]],
            "Sizes": [
                [name, f"{low} to {'any' if high is None else high}"] for name, (low, high) in found["dims"].items()
            ],
            "Valid where": [[g["condition"], g["why"] or "", g["where"] or ""] for g in found["guards"]],
            "Work": [
                ["parameters", f"{found['parameters']:,}", _bytes(found["parameter_bytes"])],
                [
                    "multiply-adds",
                    str(work["total"]),
                    f"{plural(work['unknown'], 'node')} not counted" if work["unknown"] else "",
                ],
            ],
            "Operators": [[op, str(count)] for op, count in found["operators"].items()],
            "Runs in": [[text] for text in found["runs_in"]],
            "Detours": [[text] for text in detour_lines(found["detours"])],
            "Proven": _evidence(found["evidence"]),
            "Metadata": [[k, v if len(v) < 100 else f"{v[:97]}..."] for k, v in found["metadata"].items()],
        }
    )


def _sizes(texts: tuple[str, ...]) -> dict[str, int]:
    from interchange.errors import UsageError

    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not (name and number.isascii() and number.isdigit() and len(number) < 19):
            raise UsageError(
                "IX843",
                f"{text!r} is not a size",
                found=text,
                expected="NAME=N, e.g. batch=1",
                fix="write the name of a dimension and a whole number",
            )
        found[name] = int(number)
    return found


def _evidence(evidence: dict[str, Any] | None) -> list[list[str]]:
    if evidence is None:
        return []
    trials = evidence.get("trials", [])
    sizes = [", ".join(f"{n}={s}" for n, s in t["sizes"].items()) or "its fixed sizes" for t in trials]
    verdict = "equal to its source" if evidence.get("ok") else "NOT equal to its source"
    return [[verdict, f"in {evidence.get('runtime', '?')}", f"at {'; '.join(sizes)}"]]


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return ""
