// One version of a model: what it is, how it runs, how it does.

import { AXES, bars, chart } from "./charts.js";
import { count, duration, fill, h, table, value } from "./dom.js";
import { form } from "./form.js";
import { keyOf, total } from "./history.js";

const STATES = { READY: "good", UNAVAILABLE: "bad", LOADING: "busy", UNLOADING: "busy" };
export const badge = (state) => h("span", { class: `badge ${STATES[state] ?? ""}` }, state.toLowerCase());

const section = (title, ...content) => h("section", {}, h("h3", {}, title), content);

/** Its part of the page: {element, update(model, history, workers)}. several: whether the model has other versions. */
export function view(model, several) {
  const head = h("h2", {}, model.name, h("span", { class: "faint" }, ` version ${model.version} `), badge(model.state),
    several && model.default && h("span", { class: "faint" }, " answers where no version is named"));
  if (!model.about) return { element: h("article", {}, head, broken(model)), update() {} };
  const live = liveView();
  const element = h("article", {}, head,
    h("div", { class: "columns" },
      section("Signature", signature(model.about)),
      section("How it is executed", model.steps.length ? steps(model.steps) : execution(model.about.execution)),
      section("Evidence", model.steps.length ? h("p", { class: "faint" }, "Each step brings its own.") : evidence(model.about.evidence))),
    section("Try it", form(model)),
    section("Live", live.element));
  return { element, update: live.update };
}

const broken = (model) => h("section", {},
  h("p", {}, model.state === "UNAVAILABLE" ? "This version is not served." : "This version is not ready."),
  model.reason && h("pre", { class: "reason" }, model.reason));

// -- what it is ----------------------------------------------------------------------------------------------------------
function signature(about) {
  const lines = (ports) => ports.map((p) => h("li", {}, h("code", {}, p.line), h("span", { class: "faint" }, ` ${p.datatype}`),
    p.optional && h("span", { class: "faint" }, " may be left out")));
  const bounds = Object.entries(about.sizes).map(([name, [low, high]]) =>
    h("li", {}, h("code", {}, high === null ? `${name} ≥ ${low}` : `${low} ≤ ${name} ≤ ${high}`)));
  return [
    h("p", { class: "label" }, "takes"), h("ul", { class: "plain" }, lines(about.inputs)),
    h("p", { class: "label" }, "gives"), h("ul", { class: "plain" }, lines(about.outputs)),
    (bounds.length > 0 || about.guards.length > 0) && [
      h("p", { class: "label" }, "for sizes"),
      h("ul", { class: "plain" }, bounds, about.guards.map((g) =>
        h("li", {}, h("code", {}, g.condition), g.why && h("span", { class: "faint" }, ` because ${g.why}`),
          g.where && h("span", { class: "faint" }, ` (${g.where})`)))),
    ],
  ];
}

const steps = (all) => [
  h("p", { class: "label" }, "a pipeline: its steps are models of this server, and share runs with other requests"),
  h("ol", {}, all.map((step) => h("li", {}, step.name, step.model && [": ",
    h("a", { href: `#${encodeURIComponent(step.model)}/${encodeURIComponent(step.version)}` }, step.model, step.version && ` ${step.version}`)]))),
];

function execution(e) {
  const rows = Object.entries(e.seconds);
  return h("dl", {},
    h("dt", {}, "Runs"), h("dd", {}, e.inline ? "on the network's own thread: quicker than handing it to another"
      : `on ${e.instances === 1 ? "a thread" : `${e.instances} threads`} beside the network's`),
    h("dt", {}, "Batching"), h("dd", {}, e.batching ? `on, up to ${e.max_batch} rows` : "off", h("span", { class: "faint" }, ` ${e.why}`)),
    h("dt", {}, "One run"), h("dd", {}, rows.map(([n, seconds], i) => [i > 0 && ", ",
      `${duration(seconds)} for ${n} ${n === "1" ? "row" : "rows"}`]), h("span", { class: "faint" }, " measured when it was loaded")),
    h("dt", {}, "Limits"), h("dd", {}, `${count(e.max_queue)} may wait`, e.timeout_ms === null ? "" : `, ${duration(e.timeout_ms / 1000)} each`,
      e.max_delay_ms > 0 && `; waits up to ${duration(e.max_delay_ms / 1000)} for company`),
    Object.keys(e.pad).length > 0 && [h("dt", {}, "Padding"), h("dd", {},
      Object.entries(e.pad).map(([n, to]) => `${n} is filled up to ${to.join(", ")}`).join("; "))],
    e.cache > 0 && [h("dt", {}, "Cache"), h("dd", {}, `${count(e.cache)} answers`)],
    Object.keys(e.canary).length > 0 && [h("dt", {}, "Canary"), h("dd", {}, parts(e.canary))],
    Object.keys(e.shadow).length > 0 && [h("dt", {}, "Shadow"), h("dd", {}, parts(e.shadow))]);
}

const parts = (weights) => Object.entries(weights).map(([v, w]) => `version ${v}: ${value(w * 100)} %`).join(", ");

const small = (v) => (typeof v !== "number" ? "–" : v === 0 ? "0" : v.toExponential(1));

function evidence(e) {
  if (!e) return h("p", { class: "faint" }, "The file brings none: nobody has recorded that it equals its source.");
  const sizes = (t) => Object.entries(t.sizes).map(([n, v]) => `${n} = ${v}`).join(", ") || "the example";
  const rows = e.trials.flatMap((t) => t.differences.map((d) => [sizes(t), d.output, d.problem ?? small(d.max_abs), d.problem === null ? small(d.max_rel) : ""]));
  return [
    h("p", {}, h("span", { class: `badge ${e.ok ? "good" : "bad"}` }, e.ok ? "equals its source" : "differs from its source"), " ",
      h("span", { class: "faint" }, `compared at export${e.runtime ? `, in ${e.runtime}` : ""}; as the file says`)),
    rows.length > 0 && table(["sizes", "output", "off by", "relative"], rows, { class: "numbers" }),
    e.more > 0 && h("p", { class: "faint" }, `and ${e.more} more`),
  ];
}

// -- how it does ---------------------------------------------------------------------------------------------------------
const PHASES = { request: "all of it", queue: "waiting", input: "reading", compute: "the run", output: "writing" };

function liveView() {
  const rate = chart("Requests a second", [
    { name: "answered", key: "rate", colour: "one" }, { name: "failed", key: "failures", colour: "bad" }], count, AXES.linear);
  const latency = chart("Latency in the server", [
    { name: "p50", key: "p50", colour: "one" }, { name: "p99", key: "p99", colour: "two" }], duration, AXES.logarithmic);
  const figures = h("dl", { class: "figures" });
  const [phases, batches, failures, shadow] = [h("div"), h("div"), h("div"), h("div")];
  const element = h("div", {}, figures,
    h("div", { class: "columns" }, rate.element, latency.element),
    h("div", { class: "columns" }, phases, batches, failures, shadow));

  function update(model, history, workers) {
    const [live, key] = [model.live, keyOf(model)];
    const curve = history.curve(key);
    rate.update(curve);
    latency.update(curve);
    const cached = live.cache[0] + live.cache[2];
    const here = workers > 1 ? ", in one worker" : "";
    const facts = {
      [`in the queue${here}`]: live.waiting, [`running${here}`]: live.running, "requests answered": count(total(live.phases.request.counts)),
      "rows a run": live.executions ? value(Math.round((live.inferences / live.executions) * 100) / 100) : "–",
      "failed": count(total(Object.values(live.failures))),
      ...(cached ? { "from the cache": `${Math.round((live.cache[0] / cached) * 100)} %` } : {}),
    };
    fill(figures, Object.entries(facts).map(([name, v]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(v)))));
    const found = history.phases(key);
    fill(phases, h("h4", {}, "Where the time goes"), found.requests === 0 ? h("p", { class: "faint" }, "no requests yet") : [
      table(["", "mean", "p50", "p99"],
        found.rows.map((r) => [PHASES[r.phase] ?? r.phase, duration(r.mean), duration(r.p50), duration(r.p99)]), { class: "numbers" }),
      h("p", { class: "faint" }, found.recent ? "in the last two minutes" : "since it was loaded")]);
    const runs = Object.entries(live.batches).sort((a, b) => a[0] - b[0]);
    const most = Math.max(...runs.map(([, n]) => n));
    fill(batches, h("h4", {}, "Rows of a run"), runs.length === 0 ? h("p", { class: "faint" }, "no runs yet")
      : bars(runs.slice(0, 16).map(([rows, n]) => ({ label: rows, part: n / most, text: count(n) }))),
      runs.length > 16 && h("p", { class: "faint" }, `and ${runs.length - 16} more sizes`));
    const compared = Object.entries(live.shadow).filter(([, n]) => n > 0);
    shadow.hidden = compared.length === 0;
    fill(shadow, h("h4", {}, "As a shadow"), table(["answers", ""], compared.map(([what, n]) => [what, count(n)]), { class: "numbers" }),
      Object.entries(live.differences).map(([what, n]) => h("p", { class: "faint" }, `${count(n)} × ${what}`)));
    const failed = Object.entries(live.failures);
    fill(failures, h("h4", {}, "Failures"), failed.length === 0 ? h("p", { class: "faint" }, "none")
      : table(["reason", "requests"], failed.map(([reason, n]) => [reason, count(n)]), { class: "numbers" }));
  }
  return { element, update };
}
