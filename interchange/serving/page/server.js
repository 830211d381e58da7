// Talking to the server that the page came from, and to no other.

import { jsonOf, parse, rawOf, readRaw } from "./tensors.js";

let token = ""; // in memory only: it is gone when the page is closed

export const setToken = (text) => { token = text.trim(); };
export const hasToken = () => token !== "";

/** The address of a path of this server, also behind a proxy that puts it below another path. */
export const address = (path) => new URL(path, document.baseURI).href;

const asking = () => (token ? { Authorization: `Bearer ${token}` } : {});

/** An answer that is an error. `body` has its parts: code, error, input, found, expected, fix. */
export class Refusal extends Error {
  constructor(status, body) {
    super(body.error ?? `HTTP ${status}`);
    this.status = status;
    this.body = body;
  }
}

async function refusal(response) {
  const text = await response.text();
  try {
    return new Refusal(response.status, JSON.parse(text));
  } catch {
    return new Refusal(response.status, { error: text || response.statusText });
  }
}

/** What the page shows. */
export async function getState() {
  const response = await fetch(address("page/state.json"), { headers: asking(), cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!response.ok) throw await refusal(response);
  return response.json();
}

export const inferPath = (name, version) =>
  `v2/models/${encodeURIComponent(name)}${version ? `/versions/${encodeURIComponent(version)}` : ""}/infer`;

/** The request for tensors ({name, datatype, shape, data}): path, headers, and its body, in JSON or in the binary form. */
export function requestOf(name, version, tensors, binary) {
  const path = inferPath(name, version);
  if (!binary) {
    const inputs = tensors.map((t) =>
      `{"name": ${ascii(t.name)}, "datatype": ${ascii(t.datatype)}, "shape": ${JSON.stringify(t.shape)}, "data": ${jsonOf(t)}}`);
    return { path, headers: { "Content-Type": "application/json" }, body: `{"inputs": [${inputs.join(", ")}]}`, binary };
  }
  const raw = tensors.map(rawOf);
  const inputs = tensors.map((t, i) => ({
    name: t.name, datatype: t.datatype, shape: t.shape, parameters: { binary_data_size: raw[i].byteLength },
  }));
  const head = new TextEncoder().encode(JSON.stringify({ inputs, parameters: { binary_data_output: true } }));
  const headers = { "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": String(head.byteLength) };
  return { path, headers, body: new Blob([head, ...raw]), binary };
}

// JSON that is safe to show and to copy: characters that steer or hide are escaped
export const ascii = (text) =>
  JSON.stringify(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) =>
    [...Array(c.length).keys()].map((i) => `\\u${c.charCodeAt(i).toString(16).padStart(4, "0")}`).join(""));

/** Send a request; {outputs: [{name, datatype, shape, data}], seconds, model_name, model_version}. Throws Refusal. */
export async function infer(request) {
  const begin = performance.now();
  const response = await fetch(address(request.path), { method: "POST", headers: { ...request.headers, ...asking() }, body: request.body });
  if (!response.ok) throw await refusal(response);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const seconds = (performance.now() - begin) / 1000;
  const length = Number(response.headers.get("Inference-Header-Content-Length") ?? bytes.length);
  const answer = parse(new TextDecoder().decode(bytes.subarray(0, length)));
  let at = length;
  for (const output of answer.outputs) {
    const size = output.parameters?.binary_data_size;
    if (size === undefined) continue;
    output.data = readRaw(bytes.slice(at, at + size), output.datatype);
    at += size;
  }
  return { ...answer, seconds };
}
