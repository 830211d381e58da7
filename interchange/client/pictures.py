"""What a load generator saw, as a picture (SVG, alone or in a page) and as text. Needs nothing from anywhere else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from interchange.client.measurements import Result
from interchange.dtypes import Array
from interchange.errors import FileError, UsageError

WIDTH, HEIGHT = 960, 420
_LEFT, _TOP, _PANEL_WIDTH, _PANEL_HEIGHT, _GAP = 64, 84, 380, 260, 92
_TAIL = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)  # percentiles on the axis, each as far from the next
_COLOURS = 6
# two sets of colours, for either ground, each distinct without red and green
_STYLE = """
svg{--ground:#fff;--ink:#1b1f24;--soft:#59636e;--line:#d8dee4;
--c0:#0064b4;--c1:#c04f00;--c2:#00775a;--c3:#a0408f;--c4:#7a6200;--c5:#444c56}
@media(prefers-color-scheme:dark){svg{--ground:#14171b;--ink:#e8edf2;--soft:#9aa5b1;--line:#343b44;
--c0:#5eb3f5;--c1:#f09a52;--c2:#4fcfa4;--c3:#e094d2;--c4:#dcc257;--c5:#b4bdc8}}
text{font:12px system-ui,sans-serif;fill:var(--ink)}.soft{fill:var(--soft)}.title{font-size:16px;font-weight:600}
.head{font-weight:600}.grid{stroke:var(--line);stroke-width:1}.curve{fill:none;stroke-width:2;stroke-linejoin:round}
""".replace("\n", "")
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4", "1 2")  # also without colours

Scale = Callable[[float], float]


def save(results: Sequence[Result], path: str, title: str) -> None:
    """Write the picture to a .svg or .html file. Raises UsageError IX872, FileError IX840."""
    kind = Path(path).suffix.lower()
    if kind not in (".svg", ".html"):
        raise UsageError(
            "IX872",
            f"a picture cannot be written to {path!r}",
            found=kind or "no ending",
            expected=".svg or .html",
            fix="choose one of these endings; browsers show both",
        )
    content = svg(results, title)
    if kind == ".html":
        content = _page(content, title)
    try:
        Path(path).write_text(content, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise FileError(
            "IX840",
            f"{path!r} cannot be written",
            where=path,
            found=getattr(error, "strerror", None) or str(error),
            expected="a folder that exists, may be written to, and has room",
            fix="choose another path",
        ) from None


def _page(content: str, title: str) -> str:
    style = "body{margin:0;background:#fff}@media(prefers-color-scheme:dark){body{background:#14171b}}svg{width:100%}"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="color-scheme" content="light dark"><style>{style}</style>\n{content}</html>\n'
    )


def svg(results: Sequence[Result], title: str) -> str:
    """Latency by percentile, and answers a second over time; one curve for each target."""
    results = [r for r in results if len(r.latencies)]
    height = HEIGHT + 18 * max(len(results) - 1, 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}"><style>{_STYLE}</style>',
        f'<rect width="{WIDTH}" height="{height}" fill="var(--ground)"/>',
        f'<text x="{_LEFT}" y="28" class="title">{escape(title)}</text>',
        *_latency_panel(results, _LEFT),
        *_throughput_panel(results, _LEFT + _PANEL_WIDTH + _GAP),
        *_legend(results, _TOP + _PANEL_HEIGHT + 56),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _latency_panel(results: Sequence[Result], left: float) -> list[str]:
    sorts = [np.sort(r.latencies) * 1e6 for r in results]
    low = min((s[0] for s in sorts), default=1.0)
    high = max((s[-1] for s in sorts), default=10.0)
    bottom, top = math.floor(math.log10(max(low, 0.1))), math.ceil(math.log10(max(high, low * 1.01, 0.2)))
    top = max(top, bottom + 1)
    most = max((len(s) for s in sorts), default=1)
    shown = [q for q in _TAIL if q < 99 or (100 - q) / 100 * most >= 1]
    end = _nines(shown[-1]) * 1.08

    def x(q: float) -> float:
        return left + _PANEL_WIDTH * min(_nines(q) / end, 1)

    def y(us: float) -> float:
        return _TOP + _PANEL_HEIGHT * (top - math.log10(us)) / (top - bottom)

    ticks = [(y(10.0**k), _time(10.0**k)) for k in range(bottom, top + 1)]
    parts = _frame("Latency by percentile", left, ticks, [(x(q), f"{q:g}%") for q in shown[1:]])
    for number, ordered in enumerate(sorts):
        last = _nines(100 * (1 - 1 / (len(ordered) + 1)))
        steps = [100 * (1 - 10**-n) for n in np.linspace(0, min(last, end), 160)]
        points = [(x(q), y(max(float(_at(ordered, q)), 10.0**bottom))) for q in steps]
        parts.append(_curve(points, number))
    return parts


def _throughput_panel(results: Sequence[Result], left: float) -> list[str]:
    series = [r.rounds[-1].over_time() for r in results]
    most = max((float(s[1].max()) for s in series), default=1.0)
    longest = max((float(s[0][-1]) for s in series), default=1.0)
    step = _nice(most / 5)
    top = step * math.ceil(most / step) if most else 1.0

    def x(second: float) -> float:
        return left + _PANEL_WIDTH * second / longest

    def y(rate: float) -> float:
        return _TOP + _PANEL_HEIGHT * (1 - rate / top)

    ticks = [(y(k * step), _count(k * step)) for k in range(round(top / step) + 1)]
    second = _nice(longest / 5)
    marks = [(x(k * second), f"{k * second:g} s") for k in range(int(longest / second + 1e-9) + 1)]
    parts = _frame("Answers a second over time", left, ticks, marks)
    for number, (ends, rates) in enumerate(series):
        width = ends[0]
        parts.append(_curve([(x(float(e - width / 2)), y(float(r))) for e, r in zip(ends, rates, strict=True)], number))
    return parts


def _legend(results: Sequence[Result], top: float) -> list[str]:
    parts = []
    for number, result in enumerate(results):
        found, y = result.figures(), top + 18 * number
        text = f"{_count(found['requests_per_second'])} a second"
        text += f", p50 {_time(found['p50_us'])}, p99 {_time(found['p99_us'])}"
        if found["server_cpu_us"]:
            text += f", server CPU {_time(found['server_cpu_us'])} a request"
        if found["errors"]:
            text += f", {sum(found['errors'].values())} errors"
        parts.append(_curve([(_LEFT, y - 4), (_LEFT + 28, y - 4)], number))
        parts.append(
            f'<text x="{_LEFT + 36}" y="{y}"><tspan class="head">{escape(result.name)}</tspan>'
            f'<tspan class="soft" dx="10">{escape(text)}</tspan></text>'
        )
    return parts


def _frame(head: str, left: float, ticks: Iterable[tuple[float, str]], marks: Iterable[tuple[float, str]]) -> list[str]:
    bottom = _TOP + _PANEL_HEIGHT
    parts = [f'<text x="{left}" y="{_TOP - 16}" class="head">{escape(head)}</text>']
    for y, text in ticks:
        parts.append(f'<line class="grid" x1="{left}" x2="{left + _PANEL_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="soft" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for x, text in marks:
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        parts.append(f'<text class="soft" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{text}</text>')
    return parts


def _curve(points: Sequence[tuple[float, float]], number: int) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = _DASHES[number % len(_DASHES)]
    return (
        f'<polyline class="curve" points="{places}" stroke="var(--c{number % _COLOURS})"'
        + (f' stroke-dasharray="{dash}"' if dash else "")
        + "/>"
    )


def _nines(q: float) -> float:
    """How far a percentile is along the axis: 0, 90, 99, 99.9 are each one step from the next."""
    return -math.log10(max(1 - q / 100, 1e-9))


def _at(ordered: Array, q: float) -> float:
    return float(ordered[min(int(len(ordered) * q / 100), len(ordered) - 1)])


def _nice(value: float) -> float:
    """1, 2, 2.5 or 5 times a power of ten, not below the value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= value * 0.999)


def _time(us: float | None) -> str:
    if us is None or math.isnan(us):
        return "-"
    for size, name in ((1e6, "s"), (1e3, "ms")):
        if us >= size:
            return f"{us / size:.3g} {name}"
    return f"{us:.3g} µs"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


# -- text -------------------------------------------------------------------------------------------------------------
def table(results: Sequence[Result]) -> str:
    """The figures, a line for each target."""
    heads = ("", "answers/s", "p50", "p90", "p99", "p99.9", "longest", "client CPU", "server CPU", "errors")
    rows: list[tuple[str, ...]] = [heads]
    for result in results:
        f = result.figures()
        times = [
            _time(f[k]) for k in ("p50_us", "p90_us", "p99_us", "p99.9_us", "max_us", "client_cpu_us", "server_cpu_us")
        ]
        rows.append((result.name, _count(f["requests_per_second"]), *times, str(sum(f["errors"].values()))))
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = [
        "  ".join(c.ljust(w) if not i else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True)))
        for r in rows
    ]
    for result in results:
        lines += [f"{result.name}: {count} x {what}" for what, count in sorted(result.errors.items())]
    return "\n".join(line.rstrip() for line in lines)


def histogram(result: Result, width: int = 50) -> str:
    """How many answers took how long: a bar for each step of the latency, each a half longer than the one before."""
    found = result.latencies * 1e6
    if not len(found):
        return ""
    first = math.floor(math.log(max(float(np.percentile(found, 0.1)), 0.1), 1.5))
    last = math.ceil(math.log(max(float(np.percentile(found, 99.9)), 0.1), 1.5)) + 1
    edges = 1.5 ** np.arange(first, max(last, first + 1) + 1)
    counts = np.histogram(np.clip(found, edges[0], edges[-1] * 0.999), edges)[0]
    most = counts.max()
    lines = []
    for edge, count in zip(edges[1:], counts, strict=True):
        bar = "█" * round(width * count / most) or ("▏" if count else "")
        lines.append(
            f"{'under ' + _time(float(edge)):>14}  {bar} {100 * count / len(found):.1f}%"
            if count
            else f"{'under ' + _time(float(edge)):>14}"
        )
    return "\n".join(lines)
