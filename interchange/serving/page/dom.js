// Elements from data. Text only ever becomes text: the names in a model are somebody else's.

const SVG = "http://www.w3.org/2000/svg";

// Characters that steer a terminal, hide, or turn the order of what follows are shown by their number.
const STEERING = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;
const byNumber = (c) => (c === "\n" || c === "\t" ? c : `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`);
export const visible = (text) => String(text).replace(STEERING, byNumber);

export const short = (text, limit = 60) => (String(text).length > limit ? `${String(text).slice(0, limit - 1)}…` : String(text));

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  fill(element, ...children);
  return element;
}

function nodes(children) {
  const found = children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false);
  return found.map((c) => (c instanceof Node ? c : document.createTextNode(visible(c))));
}

/** An HTML element; attributes that begin with "on" are listeners. */
export const h = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

/** Replace what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

/** A table. rows: lists of texts or elements; head: texts. */
export const table = (head, rows, attributes = {}) =>
  h("div", { class: "scroll" },
    h("table", attributes,
      head && h("thead", {}, h("tr", {}, head.map((c) => h("th", { scope: "col" }, c)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((c) => h("td", {}, c)))))));

let ids = 0;
export const newId = (prefix) => `${prefix}-${++ids}`;

// -- numbers ---------------------------------------------------------------------------------------------------------
/** A number with three significant digits, and a unit's prefix where it is large. */
export function count(n) {
  if (n < 10) return String(Math.round(n * 100) / 100);
  if (n < 100) return String(Math.round(n * 10) / 10);
  if (n < 10_000) return String(Math.round(n));
  return n < 1e6 ? `${(n / 1e3).toPrecision(3)} k` : n < 1e9 ? `${(n / 1e6).toPrecision(3)} M` : `${(n / 1e9).toPrecision(3)} G`;
}

/** Seconds as a text with a unit: 42 µs, 1.3 ms, 2 s. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const [value, unit] = seconds < 1e-3 ? [seconds * 1e6, "µs"] : seconds < 1 ? [seconds * 1e3, "ms"] : [seconds, "s"];
  return `${value < 10 ? Math.round(value * 100) / 100 : value < 100 ? Math.round(value * 10) / 10 : Math.round(value)} ${unit}`;
}

export function age(seconds) {
  const [d, hh, m] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  return d ? `${d} d ${hh} h` : hh ? `${hh} h ${m} min` : m ? `${m} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

/** A value of a tensor, short enough for a cell of a table. */
export function value(v) {
  if (typeof v !== "number") return short(v, 40);
  if (v !== 0 && Math.abs(v) < 1e-4) return v.toExponential(2);
  return Number.isInteger(v) ? String(v) : String(Number(v.toPrecision(6)));
}
