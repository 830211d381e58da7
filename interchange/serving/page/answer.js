// What a model answered, and what a server refused.

import { bars } from "./charts.js";
import { duration, fill, h, short, table, value } from "./dom.js";
import { size } from "./tensors.js";

const [MOST_ROWS, MOST_COLUMNS, MOST_BARS, MOST_CLASSES] = [20, 12, 10, 10_000];

/** The outputs of an answer. */
export function answerView(answer, about) {
  return [
    h("p", {}, h("b", {}, duration(answer.seconds)), h("span", { class: "faint" }, " from this page to the server and back")),
    answer.outputs.map((output) => outputView(output, about.labels)),
  ];
}

function outputView(output, labels) {
  const { name, datatype, shape, data } = output;
  const classes = shape.at(-1);
  const rows = classes ? size(shape.slice(0, -1)) : 0;
  const scores = shape.length <= 2 && /^(FP|BF)/.test(datatype) && classes > 1 && classes <= MOST_CLASSES && rows > 0;
  return h("section", { class: "output" },
    h("h4", {}, h("code", {}, `${short(name)}: ${datatype}[${shape.join(", ")}]`)),
    scores && scoresView(data, rows, classes, labels),
    scores ? h("details", {}, h("summary", {}, "All values"), valuesView(shape, data)) : valuesView(shape, data));
}

/** Bars for the highest scores of each row; as shares of a softmax only where that is asked for. */
function scoresView(data, rows, classes, labels) {
  const asked = h("input", { type: "checkbox", onchange: draw });
  const shown = h("div");

  function draw() {
    fill(shown, Array.from({ length: Math.min(rows, MOST_ROWS) }, (_, i) => {
      const row = Array.from(data.slice(i * classes, (i + 1) * classes), Number);
      const scores = asked.checked ? softmax(row) : row;
      const order = scores.map((_, k) => k).sort((a, b) => scores[b] - scores[a]);
      const best = order[0];
      const listed = classes <= MOST_BARS ? scores.map((_, k) => k) : order.slice(0, MOST_BARS);
      const [low, high] = [Math.min(0, ...scores.filter(Number.isFinite)), Math.max(...scores.filter(Number.isFinite))];
      return h("div", { class: "scores" },
        rows > 1 && h("p", { class: "label" }, `row ${i}`),
        h("p", { class: "winner" }, "highest: ", h("b", {}, labels[best] ?? `class ${best}`)),
        bars(listed.map((k) => ({
          label: labels[k] ?? String(k), best: k === best,
          part: Number.isFinite(scores[k]) && high > low ? (scores[k] - low) / (high - low) * (asked.checked ? high : 1) : 0,
          text: asked.checked ? `${(scores[k] * 100).toFixed(1)} %` : value(scores[k]),
        }))));
    }), rows > MOST_ROWS && h("p", { class: "faint" }, `and ${rows - MOST_ROWS} more rows`));
  }
  draw();
  return h("div", {}, shown, h("label", {}, asked, " show softmax: the scores are logits"));
}

function softmax(scores) {
  const top = Math.max(...scores);
  const powers = scores.map((v) => Math.exp(v - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / sum);
}

function valuesView(shape, data) {
  if (data.length === 0) return h("p", { class: "faint" }, "no elements");
  const columns = shape.length === 0 ? 1 : shape.at(-1);
  const rows = data.length / columns;
  const cells = Array.from({ length: Math.min(rows, MOST_ROWS) }, (_, i) => [
    h("span", { class: "faint" }, place(i, shape)), ...Array.from(data.slice(i * columns, i * columns + Math.min(columns, MOST_COLUMNS)), value),
    columns > MOST_COLUMNS && "…"]);
  const numbers = Array.from(data).filter((v) => typeof v === "number" && Number.isFinite(v));
  return [
    table(null, cells, { class: "numbers" }),
    rows > MOST_ROWS && h("p", { class: "faint" }, `and ${rows - MOST_ROWS} more rows`),
    numbers.length > 20 && h("p", { class: "faint" },
      `least ${value(least(numbers))}, mean ${value(numbers.reduce((a, b) => a + b, 0) / numbers.length)}, greatest ${value(-least(numbers.map((v) => -v)))}`),
  ];
}

const least = (numbers) => numbers.reduce((a, b) => Math.min(a, b), Infinity);

/** The index of a row of the last axis: [0, 2]. */
function place(row, shape) {
  const at = [];
  for (const n of shape.slice(0, -1).reverse()) {
    at.unshift(row % n);
    row = Math.floor(row / n);
  }
  return shape.length > 1 ? `[${at.join(", ")}]` : "";
}

/** An error in its parts. */
export function refusalView({ status, body }) {
  const problems = body.problems ?? [body];
  return h("div", { class: "refusal", role: "alert" },
    problems.map((p) => h("dl", {},
      h("dt", {}, p.code ?? "error"), h("dd", {}, h("b", {}, p.message ?? p.error)),
      ["input", "found", "expected", "fix"].filter((part) => p[part]).map((part) => [h("dt", {}, part), h("dd", {}, p[part])]))),
    status && h("p", { class: "faint" }, `the server answered with status ${status}`));
}
