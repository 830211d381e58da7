// Trying a model: values for each input, the request, its answer, and the same request for a terminal or a program.

import { answerView, refusalView } from "./answer.js";
import { pad, preview } from "./drawing.js";
import { fill, h, newId, short } from "./dom.js";
import { asInput, readFile, valuesOf } from "./files.js";
import { decode, defaultScale, drawable, imageShape, layoutOf, pixels, planes, SCALES } from "./images.js";
import { linesView } from "./lines.js";
import { infer, Refusal, requestOf } from "./server.js";
import { DATATYPES, evaluate, namesIn, nestedJson, parse, shapeOf, size, unnest } from "./tensors.js";

const SHOWN = 4096; // elements that are shown as JSON
const MOST = 1 << 24; // elements of an example
const AS_JSON = 65536; // elements; more are sent in the binary form, unless it is chosen otherwise
const IMAGE = /^image\/(png|jpeg|gif|webp|bmp|avif)$/;

/** The form of a version of a model. */
export function form(model) {
  const { about } = model;
  const sizes = { ...Object.fromEntries(namesIn(about.inputs).map((n) => [n, Math.max(about.sizes[n]?.[0] ?? 1, 1)])), ...about.example_sizes };
  const fields = about.inputs.map((input) => field(input, sizes, give, changed));
  const lines = h("div");
  const answer = h("div", { class: "answer", "aria-live": "polite" });
  const way = h("select", { onchange: changed },
    h("option", { value: "auto" }, "as JSON, large tensors as bytes"), h("option", { value: "json" }, "as JSON"),
    h("option", { value: "binary" }, "as bytes (the binary tensor extension)"));
  const send = h("button", { class: "main", type: "submit" }, "Ask the model");

  function tensors() {
    return fields.map((f) => f.tensor()).filter((t) => t !== null);
  }

  function request() {
    const given = tensors();
    const many = given.reduce((n, t) => n + t.data.length, 0) > AS_JSON;
    return { tensors: given, ...requestOf(model.name, model.version, given, way.value === "binary" || (way.value === "auto" && many)) };
  }

  function changed() {
    try {
      fill(lines, linesView(model, request()));
    } catch (error) {
      fill(lines, h("p", { class: "faint" }, error.message));
    }
  }

  /** Arrays from one file or one pasted body, for the inputs that they name; the first one for `target` if it is alone. */
  function give(arrays, target, source) {
    const columns = arrays.length === 1 && arrays[0].columns;
    if (columns && about.inputs.every((p) => columns.has(p.name))) arrays = byColumn(columns, about.inputs);
    const named = arrays.filter((a) => about.inputs.some((p) => p.name === a.name));
    if (named.length === 0 && arrays.length === 1) return target.set(arrays[0], source);
    if (named.length === 0) throw new Error(`${source} has ${arrays.map((a) => short(a.name)).join(", ")}, and none of the model's inputs`);
    for (const array of named) fields[about.inputs.findIndex((p) => p.name === array.name)].set(array, source);
  }

  async function submit(event) {
    event.preventDefault();
    send.disabled = true;
    fill(answer, h("p", { class: "faint" }, "asking …"));
    try {
      const found = await infer(request());
      fill(answer, answerView(found, about));
    } catch (error) {
      fill(answer, refusalView(error instanceof Refusal ? error : { body: { error: error.message } }));
    }
    send.disabled = false;
  }

  const element = h("form", { class: "try", onsubmit: submit },
    h("div", {},
      sizesView(about, sizes, () => { fields.forEach((f) => f.resized()); changed(); }),
      fields.map((f) => f.element),
      h("div", { class: "row" }, send, h("label", {}, "sent ", way))),
    h("div", {}, answer, lines));
  changed();
  return element;
}

function sizesView(about, sizes, changed) {
  const names = Object.keys(sizes);
  if (names.length === 0) return null;
  return h("fieldset", { class: "row" }, h("legend", {}, "Sizes of the example"), names.map((name) => {
    const [low, high] = about.sizes[name] ?? [0, null];
    return h("label", {}, h("code", {}, name), " ", h("input", {
      type: "number", value: sizes[name], min: low, max: high, step: 1,
      oninput(event) {
        const chosen = event.target.valueAsNumber;
        if (Number.isInteger(chosen) && chosen >= 0) {
          sizes[name] = chosen;
          changed();
        }
      },
    }));
  }));
}

/** A column of a table for each input, [rows] or [rows, 1]. */
function byColumn(columns, inputs) {
  return inputs.map(({ name, sizes }) => {
    const cells = columns.get(name);
    return { name, ...valuesOf(cells), shape: sizes.length === 2 ? [cells.length, 1] : [cells.length] };
  });
}

/** One input: {element, tensor(), set(array, source), resized()}. `tensor` throws where there is none that could be sent. */
function field(input, sizes, give, changed) {
  let tensor = null; // {name, datatype, shape, data}
  let problem = ""; // why there is none
  let example = !input.optional; // whether it holds the example
  let images = []; // decoded pictures, or a drawing, that it was made of
  const layout = layoutOf(input);
  const drawn = drawable(layout);

  const note = h("p", { class: "note", role: "status" });
  const area = h("textarea", {
    id: newId("json"), rows: 6, spellcheck: "false", autocomplete: "off", oninput: pasted,
    placeholder: input.optional ? "left out: the model's own value is used" : "[[…]] or a whole request",
  });
  const scale = h("select", { onchange: fromImages }, Object.keys(SCALES).map((name) => h("option", { value: name }, name)));
  scale.value = defaultScale(input.datatype);
  const inverted = h("input", { type: "checkbox", onchange: fromImages });
  const chooser = h("input", { type: "file", class: "hidden", multiple: true, onchange: () => open(chooser.files), "aria-label": `file for ${input.name}` });
  const seen = layout ? preview(drawn) : null;
  const drawing = drawn ? pad(layout.height, layout.width, (image) => {
    if (image === null && !images.some((i) => i.ink)) return; // nothing was drawn, and nothing is wiped out
    images = image ? [image] : [];
    if (image) fromImages();
    else makeExample();
  }) : null;

  function show() {
    area.value = tensor === null || tensor.data.length > SHOWN ? "" : nestedJson(tensor);
    area.rows = Math.min(area.value.split("\n").length + 1, 12);
  }

  function look() {
    seen.figure.hidden = images.length === 0 && !drawn;
    if (images.length === 0) seen.hide();
    else seen.show(planes(images[0], layout.channels, inverted.checked), images[0].height, images[0].width, layout.channels);
  }

  function put(array, source, shown = true) {
    tensor = { name: input.name, datatype: array.datatype ?? input.datatype, shape: array.shape, data: array.data };
    problem = "";
    fill(note, `${tensor.datatype}[${tensor.shape.join(", ")}] from ${source}`, array.note && `; ${array.note}`);
    note.classList.remove("bad");
    if (shown) show();
    if (seen) look();
    changed();
  }

  function refuse(error) {
    tensor = null;
    problem = `${short(input.name)}: ${error.message}`;
    fill(note, error.message);
    note.classList.add("bad");
    changed();
  }

  function makeExample(zeros = false) {
    const shape = input.sizes.map((d) => Math.max(evaluate(d, sizes), 0));
    const length = size(shape);
    images = [];
    drawing?.clear();
    example = true;
    if (length > MOST) return refuse(new Error(`an example of ${length} elements is too large for this page: choose smaller sizes`));
    let seed = 7;
    const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
    const { kind } = DATATYPES[input.datatype];
    const one = { b: () => random() < 0.5, i: () => Math.floor(random() * 2), f: () => Math.round(random() * 100) / 100, t: () => "text" };
    const none = { b: () => false, i: () => 0, f: () => 0, t: () => "" };
    put({ shape, data: Array.from({ length }, (zeros ? none : one)[kind]) }, zeros ? "zeros" : "the example");
  }

  function fromImages() {
    if (images.length === 0) return;
    example = false;
    const { height, width } = images[0];
    const parts = images.filter((i) => i.height === height && i.width === width).map((i) => pixels(i, layout, scale.value, inverted.checked));
    const data = new Float64Array(parts.reduce((n, p) => n + p.length, 0));
    parts.forEach((p, i) => data.set(p, i * p.length));
    const values = DATATYPES[input.datatype].kind === "f" ? Float32Array.from(data) : Array.from(data, Math.round);
    const source = images[0].ink ? "the drawing" : images.length === 1 ? "the image" : `${images.length} images`;
    put({ shape: imageShape(layout, images[0], images.length), data: values }, `${source}, ${scale.value}${inverted.checked ? ", inverted" : ""}`);
  }

  function set(array, source) {
    images = [];
    drawing?.clear();
    example = false;
    if (array.json !== undefined) return fromJson(array.json, source);
    const fitting = array.columns !== undefined && input.sizes.length !== 2
      ? { ...array, shape: shapeOf(array.data.length, input.sizes, sizes) } : array;
    put(asInput(fitting, input), source);
  }

  function fromJson(json, source) {
    if (Array.isArray(json?.inputs)) { // a whole request
      return give(json.inputs.map((t) => ({ name: t.name, datatype: t.datatype, shape: t.shape, data: unnest(t.data).data })), { set }, source);
    }
    if (json !== null && typeof json === "object" && !Array.isArray(json)) { // {"x": [...]}
      return give(Object.entries(json).map(([name, v]) => ({ name, json: v })), { set }, source);
    }
    const { shape, data } = unnest(json);
    put({ shape: shape.length === 1 && input.sizes.length > 1 ? shapeOf(data.length, input.sizes, sizes) : shape, data }, source, source !== "the text");
  }

  function pasted() {
    images = [];
    example = false;
    if (area.value.trim() === "" && input.optional) {
      [tensor, problem] = [null, ""];
      fill(note);
      return changed();
    }
    try {
      fromJson(parse(area.value), "the text");
    } catch (error) {
      refuse(error instanceof SyntaxError ? new Error(`this is no JSON: ${error.message}`) : error);
    }
  }

  async function open(files) {
    try {
      const pictures = [...files].filter((f) => IMAGE.test(f.type));
      if (pictures.length && layout === null) throw new Error("this input does not look like an image: its axes are none of [.., channels, height, width]");
      if (pictures.length > 1 && !(layout.lead && typeof input.sizes[0] === "string")) throw new Error("this input takes one image");
      if (pictures.length) {
        const decoded = await Promise.all(pictures.map((f) => decode(f, layout, sizes)));
        drawing?.clear();
        images = decoded;
        fromImages();
      }
      for (const file of [...files].filter((f) => !IMAGE.test(f.type))) give(await readFile(file), { set }, file.name);
    } catch (error) {
      refuse(error.name === "InvalidStateError" ? new Error("this image cannot be decoded") : error);
    }
    chooser.value = ""; // the same file may be chosen again
  }

  const card = h("fieldset", { class: "input" },
    h("legend", {}, h("code", {}, input.line)),
    seen && h("div", { class: "drawing" }, drawing?.figure, seen.figure),
    drawing && h("div", { class: "row" }, drawing.tools),
    h("div", { class: "row" },
      h("button", { type: "button", onclick: () => makeExample() }, "Example"),
      h("button", { type: "button", onclick: () => makeExample(true) }, "Zeros"),
      h("button", { type: "button", onclick: () => chooser.click() }, layout ? "Open an image or a file" : "Open a file"), chooser,
      h("span", { class: "faint" }, `or drop it here: ${layout ? "image, " : ""}.npy, .npz, .csv, .json`)),
    layout && h("div", { class: "row" },
      h("label", {}, "values of pixels ", scale), h("label", {}, inverted, " inverted")),
    h("details", { open: !drawn }, h("summary", {}, "Values as JSON"), h("label", { class: "hidden", for: area.id }, `JSON for ${input.name}`), area),
    note);
  card.addEventListener("dragover", (event) => { event.preventDefault(); card.classList.add("over"); });
  card.addEventListener("dragleave", () => card.classList.remove("over"));
  card.addEventListener("drop", (event) => {
    event.preventDefault();
    card.classList.remove("over");
    open(event.dataTransfer.files);
  });
  if (!input.optional) queueMicrotask(() => makeExample());

  return {
    element: card,
    set,
    resized: () => { if (example) makeExample(); },
    tensor() {
      if (problem) throw new Error(problem);
      return tensor;
    },
  };
}
