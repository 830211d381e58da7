// The same request as lines for a terminal or a program.

import { fill, h } from "./dom.js";
import { npyOf } from "./files.js";
import { address, ascii, hasToken } from "./server.js";
import { DATATYPES, jsonOf, rawOf } from "./tensors.js";

const LONG = 6000; // characters of a request; longer ones come from a file

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`; // for a shell
const NUMPY = {
  BOOL: "np.bool_", FP16: "np.float16", FP32: "np.float32", FP64: "np.float64", BF16: "ml_dtypes.bfloat16", BYTES: "np.object_",
};
const numpy = (datatype) => NUMPY[datatype] ?? `np.${datatype.toLowerCase()}`;

function curl(request, files) {
  const lines = [`curl -s ${quoted(address(request.path))}`];
  for (const [name, v] of Object.entries(request.headers)) lines.push(`-H ${quoted(`${name}: ${v}`)}`);
  if (hasToken()) lines.push('-H "Authorization: Bearer $TOKEN"');
  if (request.binary) {
    files.push(["request.bin", request.body]);
    lines.push("--data-binary @request.bin -o answer.bin");
  } else if (request.body.length > LONG) {
    files.push(["request.json", new Blob([request.body])]);
    lines.push("--data-binary @request.json");
  } else lines.push(`-d ${quoted(request.body)}`);
  return lines.join(" \\\n  ");
}

/** Python for a tensor's array; a large one is loaded from a file. */
function array(tensor, at, files) {
  const { name, datatype, shape, data } = tensor;
  const bare = jsonOf(tensor);
  if (bare.length > LONG && datatype !== "BYTES") {
    const file = `${name.replace(/[^A-Za-z0-9_.-]/g, "_").slice(0, 60) || `input${at}`}.npy`;
    files.push([file, npyOf(tensor, rawOf(tensor))]);
    return `np.load("${file}")${datatype === "BF16" ? ".view(ml_dtypes.bfloat16)" : ""}`;
  }
  const python = Array.from(data, (v) =>
    typeof v === "boolean" ? (v ? "True" : "False") : v === null ? "None" : typeof v === "string" && datatype !== "BYTES" && DATATYPES[datatype]?.kind === "f"
      ? `float(${ascii(v)})` : typeof v === "string" ? ascii(v) : Number.isNaN(v) || v === Infinity || v === -Infinity ? `float("${v}")` : null);
  const numbers = bare.slice(1, -1).split(", ");
  const values = python.some((v) => v !== null) ? python.map((v, i) => v ?? String(data[i])) : numbers;
  return `np.array([${values.join(", ")}], ${numpy(datatype)}).reshape(${shape.length === 1 ? shape[0] : `(${shape.join(", ")})`})`;
}

const imports = (request, ...more) =>
  [...(hasToken() ? ["import os"] : []), "", ...more, ...(request.tensors.some((t) => t.datatype === "BF16") ? ["import ml_dtypes"] : []), ""]
    .filter((line, i) => line !== "" || i > 0);

function python(model, request, files) {
  const feeds = request.tensors.map((t, i) => `    ${ascii(t.name)}: ${array(t, i, files)},`);
  const token = hasToken() ? ', token=os.environ["TOKEN"]' : "";
  return [
    ...imports(request, "import numpy as np", "from interchange.client import Client"),
    `with Client(${ascii(address(""))}${token}) as client:`,
    `    answer = client.infer(${ascii(model.name)}, {`, ...feeds.map((line) => `    ${line}`), `    }, version=${ascii(model.version)})`,
    `for name, array in answer.items():`, "    print(name, array)",
  ].join("\n");
}

function plain(request, files) {
  const token = hasToken() ? [`    headers={"Authorization": f"Bearer {os.environ['TOKEN']}"},`] : [];
  const inputs = request.tensors.map((t, i) =>
    `    {"name": ${ascii(t.name)}, "datatype": ${ascii(t.datatype)}, "shape": ${JSON.stringify(t.shape)}, "array": ${array(t, i, files)}},`);
  return [
    ...imports(request, "import numpy as np", "import requests"),
    "inputs = [", ...inputs, "]",
    "for tensor in inputs:", '    tensor["data"] = tensor.pop("array").ravel().tolist()',
    "answer = requests.post(", `    ${ascii(address(request.path))},`, '    json={"inputs": inputs},', ...token, ")",
    'print(answer.json())',
  ].join("\n");
}

function triton(model, request, files) {
  const base = new URL(address(""));
  const lines = request.tensors.flatMap((t, i) => [
    `array = ${array(t, i, files)}`,
    `tensor = http.InferInput(${ascii(t.name)}, list(array.shape), ${ascii(t.datatype)})`,
    `tensor.set_data_from_numpy(array${t.datatype === "BF16" ? ".astype(np.float32)" : ""})`,
    "inputs.append(tensor)",
  ]);
  const token = hasToken() ? `, headers={"Authorization": f"Bearer {os.environ['TOKEN']}"}` : "";
  return [
    ...imports(request, "import numpy as np", "import tritonclient.http as http"),
    `client = http.InferenceServerClient("${base.host}"${base.protocol === "https:" ? ", ssl=True" : ""})`,
    "inputs = []", ...lines,
    `answer = client.infer(${ascii(model.name)}, inputs, model_version=${ascii(model.version)}${token})`,
    ...model.about.outputs.map((p) => `print(${ascii(p.name)}, answer.as_numpy(${ascii(p.name)}))`),
  ].join("\n");
}

let chosen = "curl"; // stays when another model is looked at

/** The lines, one language at a time, with a button to copy them and the files that they read. */
export function linesView(model, request) {
  const languages = {
    curl: (files) => curl(request, files),
    "Python": (files) => python(model, request, files),
    "Python, requests": (files) => plain(request, files),
    "Python, tritonclient": (files) => triton(model, request, files),
  };
  const text = h("code");
  const shown = h("pre", { tabindex: "0" }, text);
  const saves = h("div", { class: "row" });
  const copied = h("span", { class: "faint", role: "status" });
  const tabs = Object.keys(languages).map((name) => h("button", { type: "button", onclick: () => show(name) }, name));

  function show(name) {
    chosen = name;
    const files = [];
    fill(text, languages[name](files));
    fill(saves, files.map(([title, blob]) => h("button", { type: "button", onclick: () => save(title, blob) }, `Save ${title}`)));
    fill(copied);
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.textContent === name));
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(text.textContent);
      fill(copied, "copied");
    } catch { // a page that came without TLS from another machine may not: it is selected, to be copied by hand
      getSelection().selectAllChildren(text);
      fill(copied, document.execCommand("copy") ? "copied" : "selected: copy it with your keyboard");
    }
  }
  show(chosen);
  return h("section", { class: "lines" },
    h("h4", {}, "The same request"),
    h("div", { class: "row" }, tabs, h("button", { type: "button", class: "copy", onclick: copy }, "Copy"), copied),
    shown, saves);
}

function save(name, blob) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
