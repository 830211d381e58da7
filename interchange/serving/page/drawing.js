// A pad to draw on with a mouse, a finger, or the arrow keys; and a view of the few pixels that the strokes become.

import { h } from "./dom.js";

const FINE = 8; // a pixel of the model is the mean of so many by so many
const PEN = 0.11; // width of a stroke, as a part of the shorter side

/**
 * A pad for an image of this size: {figure, tools, clear}.
 *
 * changed: called with {height, width, ink} (0 to 1, row-major) when the drawing is another one, with null when it is empty.
 */
export function pad(height, width, changed) {
  let strokes = []; // of points [x, y] in pixels of the model
  let pen = [width / 2, height / 2]; // for the arrow keys
  let down = false;

  const canvas = h("canvas", {
    class: "pad", tabindex: "0", role: "application", width: 320, height: Math.round((320 * height) / width),
    "aria-label": "Draw here. With the keyboard: arrow keys move the pen, Space lowers and lifts it, Delete clears.",
  });
  const fitted = h("input", { type: "checkbox", checked: true, onchange: render });

  function fit() {
    const points = strokes.flat();
    if (!fitted.checked || points.length === 0) return (p) => p;
    const half = (PEN * Math.min(height, width)) / 2;
    const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const room = (from, to, all) => (all - 2 * half) / Math.max(to - from, 1e-9);
    const scale = Math.min(room(left, right, width), room(top, bottom, height), 8);
    return ([x, y]) => [width / 2 + (x - (left + right) / 2) * scale, height / 2 + (y - (top + bottom) / 2) * scale];
  }

  function paint(context, scale, moved, colour) {
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = colour;
    context.lineWidth = PEN * Math.min(height, width) * scale;
    for (const stroke of strokes) {
      context.beginPath();
      stroke.map(moved).forEach(([x, y], i) => (i ? context.lineTo(x * scale, y * scale) : context.moveTo(x * scale, y * scale)));
      if (stroke.length === 1) context.lineTo(...moved(stroke[0]).map((v) => v * scale)); // a dot
      context.stroke();
    }
  }

  /** The share of each pixel that is covered with ink. */
  function ink() {
    const fine = new OffscreenCanvas(width * FINE, height * FINE).getContext("2d", { willReadFrequently: true });
    paint(fine, FINE, fit(), "black");
    const alpha = fine.getImageData(0, 0, width * FINE, height * FINE).data;
    const found = new Float64Array(height * width);
    for (let y = 0; y < height * FINE; y++) {
      for (let x = 0; x < width * FINE; x++) {
        found[Math.floor(y / FINE) * width + Math.floor(x / FINE)] += alpha[(y * width * FINE + x) * 4 + 3];
      }
    }
    return found.map((v) => Math.round((v / (255 * FINE * FINE)) * 1000) / 1000); // a request that a person can read
  }

  function show() {
    const context = canvas.getContext("2d");
    const scale = canvas.width / width;
    context.clearRect(0, 0, canvas.width, canvas.height);
    paint(context, scale, (p) => p, getComputedStyle(canvas).color);
    if (document.activeElement === canvas && canvas.matches(":focus-visible")) {
      context.lineWidth = 1;
      context.strokeRect((pen[0] - 0.25) * scale, (pen[1] - 0.25) * scale, 0.5 * scale, 0.5 * scale);
    }
  }

  function render() {
    show();
    changed(strokes.length ? { height, width, ink: ink() } : null);
  }

  function clear() {
    strokes = [];
    render();
  }

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    strokes.push([place(event)]);
    render();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    strokes.at(-1).push(...(event.getCoalescedEvents?.() ?? []).map(place), place(event));
    render();
  });
  const MOVES = { ArrowLeft: [-0.5, 0], ArrowRight: [0.5, 0], ArrowUp: [0, -0.5], ArrowDown: [0, 0.5] };
  canvas.addEventListener("keydown", (event) => {
    if (event.key in MOVES) {
      pen = [0, 1].map((i) => Math.min(Math.max(pen[i] + MOVES[event.key][i], 0), [width, height][i]));
      if (down) strokes.at(-1).push([...pen]);
    } else if (event.key === " ") {
      down = !down;
      if (down) strokes.push([[...pen]]);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      down = false;
      strokes = [];
    } else return;
    event.preventDefault();
    render();
  });
  canvas.addEventListener("focus", show);
  canvas.addEventListener("blur", () => { down = false; show(); });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", show);

  const tools = [
    h("button", { type: "button", onclick: clear }, "Clear"),
    h("label", {}, fitted, " centre it and fill the frame"),
  ];
  return { figure: h("figure", {}, canvas, h("figcaption", {}, "draw here")), tools, clear };
}

/** What a model sees: {figure, show(values, height, width, channels), hide()}. asInk: a high value is dark, as drawn. */
export function preview(asInk) {
  const canvas = h("canvas", { class: "seen", role: "img", "aria-label": "what the model sees", width: 1, height: 1 });
  const caption = h("figcaption", {}, "what the model sees");

  /** values: 0 to 1, one channel after the other. */
  function show(values, height, width, channels) {
    [canvas.width, canvas.height] = [width, height];
    const image = new ImageData(width, height);
    const [r, g, b] = getComputedStyle(canvas).color.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0];
    for (let at = 0; at < height * width; at++) {
      const level = (c) => values[(c % channels) * height * width + at] * 255;
      image.data.set(asInk ? [r, g, b, level(0)] : [level(0), level(1), level(2), 255], at * 4);
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    caption.textContent = `what the model sees: ${height} × ${width}`;
  }
  return { figure: h("figure", {}, canvas, caption), show, hide: () => show([0], 1, 1, 1) };
}
