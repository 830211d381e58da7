"""``interchange check``: everything that is wrong with model files, and the repair of what can be repaired."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from interchange.checker import Report
    from interchange.checker.config import Config
    from interchange.checker.formats import Format

_FORMATS = ("text", "concise", "json", "sarif", "junit", "github")
_DENIALS = ("control-flow", "custom-domains", "undeclared-ranks")
_SHOWN = 10  # findings of one code


@click.command("check")
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--target", help='Also check that this runtime loads it: "onnxruntime>=1.18".')
@click.option(
    "--select", multiple=True, metavar="CODE", help="Report only codes that begin so; several times for more."
)
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave out codes that begin so.")
@click.option(
    "--level",
    type=click.Choice(["error", "warning", "note"]),
    help="The least severity that makes the exit status 1.  [default: error]",
)
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="text", show_default=True, help="How to write the report."
)
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option("--output", type=click.Path(), metavar="FILE", help="Write the report to a file.")
@click.option(
    "--max", "limit", type=click.IntRange(0), default=_SHOWN, metavar="N", show_default=True,
    help="Show so many findings of one code in text; 0 for all. The other formats always have all.",
)  # fmt: skip
@click.option("--fix", "repair", is_flag=True, help="Repair what can be repaired; -o names the new file.")
@click.option("-o", "fixed", type=click.Path(), metavar="FILE", help="Where --fix writes the repaired model.")
@click.option("--allow-lossy", is_flag=True, help="--fix for a target may round: float64 computed in float32.")
@click.option("--limit", "limits", multiple=True, metavar="NAME=VALUE", help="Change a limit: nodes=500000.")
@click.option("--trust-links", is_flag=True, help="Follow links to data files outside the model's folder.")
@click.option("--deny", multiple=True, type=click.Choice(_DENIALS), help="Refuse this too; for files of strangers.")
@click.option("--nan", is_flag=True, help="Read all weights, and look for NaN and infinities in them.")
@click.option("--lint", is_flag=True, help="Also tell what is allowed and seldom meant: dead nodes, float64, ...")
@click.option("--no-isolation", is_flag=True, help="Check in this process, not in a limited child process.")
@click.option(
    "--file", "operators", multiple=True, type=click.Path(), help="Register the operators of this TOML or JSON file."
)
@click.option("--no-config", is_flag=True, help="Do not read [tool.interchange.check] of the nearest pyproject.toml.")
@click.option("--list-rules", is_flag=True, help="List all rules, those of installed packages too.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    paths: tuple[str, ...],
    form: Format,
    as_json: bool,
    output: str | None,
    limit: int,
    repair: bool,
    fixed: str | None,
    operators: tuple[str, ...],
    list_rules: bool,
    **settings: Any,
) -> None:
    """Check the model files PATHS: structure, data, operators, types, shapes, metadata. All findings at once.

    \b
    interchange check model.onnx
    interchange check *.onnx --target "onnxruntime>=1.18" --ignore IX595
    interchange check model.onnx --format sarif --output report.sarif
    interchange check model.onnx --fix -o fixed.onnx
    """
    from interchange import schemas
    from interchange.checker import Report
    from interchange.checker.fixes import fixable
    from interchange.checker.formats import render
    from interchange.checker.formats.text import footer
    from interchange.cli.output import on_terminal
    from interchange.errors import FileError

    form = "json" if as_json else form
    config = _config(settings)
    config.import_rules()
    for file in operators:
        schemas.register_file(file)
    if list_rules:
        _list_rules(form == "json")
        return
    if not paths:
        raise click.UsageError("Name the model files to check.")
    _usage(paths, repair, fixed, output)
    options = _options(config, settings)
    reports, failed = [], False
    for path in paths:
        try:
            lossy = settings["allow_lossy"]
            found = _repair(path, fixed, config, options, lossy) if fixed else _check(path, config, options)
            reports.append(found)
        except FileError as error:
            if error.code != "IX301" or len(paths) == 1:
                raise
            reports.append(Report.of_error(path, error))  # one that is missing does not stop the others
            failed = True
    color = output is None and on_terminal(sys.stdout) and "NO_COLOR" not in os.environ
    text = render(reports, form, level=config.level, limit=limit or None, color=color)
    if form == "text":
        left = 0 if repair else sum(fixable(r.findings) for r in reports)
        text = "\n".join([text, *footer(reports, left, color)])
    if output is None:
        click.echo(text, color=color)
    else:
        Path(output).write_text(text + "\n", encoding="utf-8")
    if failed:
        ctx.exit(2)
    if any(r.at_least(config.level) for r in reports):
        ctx.exit(1)


def _config(settings: dict[str, Any]) -> Config:
    """The settings of the nearest pyproject.toml; those of the command line win."""
    from interchange.checker.config import Config, find_config

    config = Config() if settings["no_config"] else find_config()
    given = {k: settings[k] for k in ("select", "ignore", "level", "target") if settings[k]}
    limits = {**config.limits, **dict(map(_limit, settings["limits"]))}
    return replace(config, **given, limits=limits)


def _limit(text: str) -> tuple[str, int]:
    name, equals, value = text.partition("=")
    if not equals or not value.replace("_", "").isdecimal():
        raise click.UsageError(f"--limit {text}: NAME=VALUE is expected, with a whole number: nodes=500000.")
    return name, int(value)


def _options(config: Config, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "target": config.target,
        "select": config.select,
        "limits": config.limits,
        "trust_links": settings["trust_links"],
        "deny": settings["deny"],
        "scan_weights": settings["nan"],
        "lints": settings["lint"],
        "isolate": False if settings["no_isolation"] else None,
    }


def _usage(paths: tuple[str, ...], repair: bool, fixed: str | None, output: str | None) -> None:
    from interchange.errors import UsageError

    if repair and (fixed is None or len(paths) != 1):
        found = "no -o" if fixed is None else f"{len(paths)} files"
        raise UsageError(
            "IX835",
            "--fix makes one new file of one model",
            found=found,
            expected="one model, and -o FILE",
            fix="interchange check model.onnx --fix -o fixed.onnx",
        )
    if fixed is not None and not repair:
        raise UsageError(
            "IX835",
            "-o names the file for a repaired model, and nothing is to be repaired",
            found=f"-o {fixed} without --fix",
            expected="--fix and -o together",
            fix=f"add --fix; or, for the report: --output {fixed}",
        )


def _check(path: str, config: Config, options: dict[str, Any]) -> Report:
    from interchange.checker import check
    from interchange.cli.output import progress

    with progress(f"checking {path}"):
        return check(path, ignore=config.ignored(path), **options)


def _repair(path: str, fixed: str, config: Config, options: dict[str, Any], allow_lossy: bool) -> Report:
    """The report on the repaired form of a file."""
    from interchange.checker import fix
    from interchange.cli.output import progress

    with progress(f"repairing {path}"):
        result = fix(path, ignore=config.ignored(path), allow_lossy=allow_lossy, **options)
        result.save(fixed)
    return replace(result.report.named(fixed), repaired=result.done)


def _list_rules(as_json: bool) -> None:
    from interchange.checker.rule import all_rules
    from interchange.cli.output import emit
    from interchange.cli.tables import show_sections

    rules = all_rules().values()
    if as_json:
        emit([{"code": r.code, "severity": r.severity, "title": r.title, "module": r.look.__module__} for r in rules],
             True, "")  # fmt: skip
        return
    sections: dict[str, list[tuple[str, str, str]]] = {}
    for rule in rules:
        home = rule.look.__module__
        about = home.rpartition(".")[2] if rule.ours else f"{home} (yours)"
        sections.setdefault(about, []).append((rule.code, rule.severity, rule.title))
    show_sections(sections)
