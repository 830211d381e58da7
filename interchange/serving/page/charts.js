// Curves and bars, drawn in SVG.

import { fill, h, s } from "./dom.js";

const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [170, 52, 10, 12, 22];
const SPAN = 120; // seconds

/** The least round number that is not below v: 1, 2 or 5 times a power of ten. */
function round(v) {
  const power = 10 ** Math.floor(Math.log10(v || 1));
  return [1, 2, 5, 10].find((n) => n * power >= v) * power;
}

/** An axis from 0 to a round number: {ticks, part}, part of a value from 0 to 1. */
function linear(values) {
  const top = round(Math.max(1, ...values));
  return { ticks: [0, top / 2, top], part: (v) => v / top };
}

/** An axis over whole powers of ten, for what lies far apart. */
function logarithmic(values) {
  const powers = values.filter((v) => v > 0).map(Math.log10);
  const low = Math.floor(Math.min(...powers, -3));
  const high = Math.max(Math.ceil(Math.max(...powers, -3)), low + 1);
  return { ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)), part: (v) => (Math.log10(v) - low) / (high - low) };
}

export const AXES = { linear, logarithmic };

/**
 * A chart of the last two minutes. series: [{name, key, colour}], colour a class.  unit: number -> text.
 * axis: of `AXES`.  `update(points)` draws points of {age, [key]}; where a value is null the curve has a gap.
 */
export function chart(title, series, unit, axis) {
  const drawing = s("svg", { height: HEIGHT, role: "img", "aria-label": title });
  const legend = h("p", { class: "legend" });
  const element = h("figure", { class: "chart" }, h("figcaption", {}, title), legend, drawing);
  let points = [];
  let at = null; // the point under the pointer

  function draw() {
    const right = Math.max(drawing.clientWidth, 240) - RIGHT;
    const x = (age) => LEFT + (1 + age / SPAN) * (right - LEFT);
    const { ticks, part } = axis(points.flatMap((p) => series.map((q) => p[q.key] ?? 0)));
    const y = (v) => HEIGHT - BOTTOM - part(v) * (HEIGHT - TOP - BOTTOM);
    const shown = at ?? points.at(-1);
    fill(drawing,
      ticks.map((v) => [
        s("line", { class: "grid", x1: LEFT, x2: right, y1: y(v), y2: y(v) }),
        s("text", { class: "tick", x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, unit(v)),
      ]),
      [-120, -60, 0].map((age) =>
        s("text", { class: "tick", x: x(age), y: HEIGHT - 6, "text-anchor": age === 0 ? "end" : age === -120 ? "start" : "middle" },
          age === 0 ? "now" : `${age} s`)),
      series.map((q) => runs(points, q.key).map((run) =>
        run.length === 1
          ? s("circle", { class: `dot ${q.colour}`, cx: x(run[0].age), cy: y(run[0][q.key]), r: 2 })
          : s("polyline", { class: `curve ${q.colour}`, points: run.map((p) => `${x(p.age).toFixed(1)},${y(p[q.key]).toFixed(1)}`).join(" ") }))),
      at && s("line", { class: "cursor", x1: x(at.age), x2: x(at.age), y1: TOP, y2: HEIGHT - BOTTOM }));
    fill(legend, series.map((q) =>
      h("span", { class: `key ${q.colour}` }, `${q.name} `, h("b", {}, shown?.[q.key] === null || !shown ? "–" : unit(shown[q.key])))),
      at && h("span", { class: "faint" }, `${Math.round(at.age)} s`));
  }

  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const age = ((event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT)) * SPAN - SPAN;
    at = points.reduce((best, p) => (best === null || Math.abs(p.age - age) < Math.abs(best.age - age) ? p : best), null);
    draw();
  });
  drawing.addEventListener("pointerleave", () => { at = null; draw(); });
  draw();
  return { element, update(newer) { points = newer; at = null; draw(); } };
}

/** The parts of a curve between its gaps. */
function runs(points, key) {
  const found = [[]];
  for (const p of points) {
    if (p[key] === null) found.push([]);
    else found.at(-1).push(p);
  }
  return found.filter((run) => run.length);
}

/** Bars with their label and value. rows: [{label, part (0 to 1), text, best}]. */
export const bars = (rows) =>
  h("div", { class: "bars" }, rows.map(({ label, part, text, best }) => [
    h("span", { class: best ? "best" : "" }, label),
    s("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      s("rect", { class: best ? "bar best" : "bar", width: Math.max(part * 100, 0.4), height: 10 })),
    h("span", { class: "number" }, text),
  ]));
