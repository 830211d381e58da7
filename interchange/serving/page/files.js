// Arrays from files: .npy, .npz, .csv, .json. Everything is read in the browser.

import { DATATYPES, parse, readRaw, size } from "./tensors.js";

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
const LIMIT = 1 << 28; // bytes that a compressed file may grow to
const TYPES = {
  b1: "BOOL", u1: "UINT8", u2: "UINT16", u4: "UINT32", u8: "UINT64", i1: "INT8", i2: "INT16", i4: "INT32", i8: "INT64",
  f2: "FP16", f4: "FP32", f8: "FP64", V2: "BF16", // numpy has no name for bfloat16: ml_dtypes writes two raw bytes
};

/** The arrays of a file: [{name, datatype, shape, data, note}]; name is "" where the file has none. Throws Error. */
export async function readFile(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const ending = file.name.toLowerCase().split(".").pop();
  if (ending === "npy") return [{ name: "", ...readNpy(bytes) }];
  if (ending === "npz") return readNpz(bytes);
  const text = new TextDecoder().decode(bytes);
  if (ending === "csv" || ending === "tsv") return [readCsv(text)];
  if (ending === "json") return [{ name: "", json: parse(text) }];
  throw new Error(`${file.name} is no .npy, .npz, .csv, .json, or image`);
}

// -- numpy -------------------------------------------------------------------------------------------------------------
/** An array in numpy's format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
export function readNpy(bytes) {
  if (!MAGIC.every((b, i) => bytes[i] === b)) throw new Error("this is no .npy file");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [begin, length] = bytes[6] === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  const head = new TextDecoder().decode(bytes.subarray(begin, begin + length));
  const descr = /'descr':\s*'([^']+)'/.exec(head)?.[1];
  const shape = /'shape':\s*\(([^)]*)\)/.exec(head)?.[1].match(/\d+/g)?.map(Number) ?? [];
  const order = descr?.[0];
  const kind = descr?.slice(1);
  const body = bytes.slice(begin + length);
  const elements = size(shape);
  if (kind?.[0] === "U") return { datatype: "BYTES", shape, data: texts(body, elements, Number(kind.slice(1)), order === ">") };
  const datatype = TYPES[kind];
  if (!datatype) throw new Error(`an array of ${descr ?? "records"} is none that the protocol can carry`);
  const width = DATATYPES[datatype].bytes;
  if (body.length < elements * width) throw new Error(`the file ends after ${body.length} of ${elements * width} bytes`);
  const raw = body.slice(0, elements * width);
  if (order === ">") swap(raw, width);
  const data = readRaw(raw, datatype);
  return { datatype, shape, data: /'fortran_order':\s*True/.test(head) ? rowMajor(data, shape) : data };
}

function swap(bytes, width) {
  for (let at = 0; at < bytes.length; at += width) bytes.subarray(at, at + width).reverse();
}

function texts(bytes, elements, characters, big) {
  const view = new DataView(bytes.buffer);
  return Array.from({ length: elements }, (_, i) => {
    const codes = Array.from({ length: characters }, (_, j) => view.getUint32((i * characters + j) * 4, !big));
    return String.fromCodePoint(...codes).replace(/\0+$/, "");
  });
}

/** Values in the order of Fortran, the first axis fastest, as C has them. */
function rowMajor(data, shape) {
  const found = data.slice();
  const steps = shape.map((_, i) => size(shape.slice(0, i)));
  const at = shape.map(() => 0);
  for (let i = 0; i < data.length; i++) {
    found[i] = data[at.reduce((sum, k, axis) => sum + k * steps[axis], 0)];
    for (let axis = shape.length - 1; axis >= 0 && ++at[axis] === shape[axis]; axis--) at[axis] = 0;
  }
  return found;
}

/** The arrays of an archive of .npy files, stored or deflated. */
export async function readNpz(bytes) {
  const view = new DataView(bytes.buffer);
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw new Error("this is no .npz file: it has no directory");
  const entries = view.getUint16(end + 10, true);
  const found = [];
  for (let at = view.getUint32(end + 16, true), i = 0; i < entries; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== 0x02014b50) throw new Error("the directory of the .npz file is damaged");
    const [method, packed] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true)];
    const [name, extra, comment] = [28, 30, 32].map((o) => view.getUint16(at + o, true));
    const local = view.getUint32(at + 42, true);
    if (local + 30 > bytes.length) throw new Error("a file inside the .npz file is missing");
    const begin = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const data = bytes.subarray(begin, begin + packed);
    const title = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + name));
    if (method !== 0 && method !== 8) throw new Error(`${title} is compressed in a way that this page does not know`);
    found.push({ name: title.replace(/\.npy$/, ""), ...readNpy(method === 8 ? await inflate(data) : data) });
    at += 46 + name + extra + comment;
  }
  return found;
}

async function inflate(bytes) {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const parts = [];
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    length += part.value.length;
    if (length > LIMIT) throw new Error(`the file unpacks to more than ${LIMIT >> 20} MB`);
    parts.push(part.value);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** A tensor as an .npy file, for Python lines that load it. */
export function npyOf({ datatype, shape }, raw) {
  const [type] = Object.entries(TYPES).find(([, d]) => d === datatype);
  const order = DATATYPES[datatype].bytes === 1 || type[0] === "V" ? "|" : "<";
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const head = `{'descr': '${order}${type}', 'fortran_order': False, 'shape': (${dims}), }`;
  const padded = head.padEnd(Math.ceil((head.length + 11) / 64) * 64 - 11) + "\n";
  const prefix = new Uint8Array([...MAGIC, 1, 0, padded.length & 255, padded.length >> 8]);
  return new Blob([prefix, padded, raw]);
}

// -- CSV ---------------------------------------------------------------------------------------------------------------
/** The rows of a table: a tensor [rows, columns] of numbers, or of texts. columns: name -> cells, where it has a head. */
export function readCsv(source) {
  const separator = [";", "\t", ","].find((c) => source.split("\n", 1)[0].includes(c)) ?? ",";
  const rows = cells(source, separator).filter((row) => row.length > 1 || row[0].trim() !== "");
  if (rows.length === 0) throw new Error("the file has no rows");
  const headed = !rows[0].some(isNumber) && rows.slice(1).flat().some(isNumber);
  const head = headed ? rows.shift().map((c) => c.trim()) : [];
  const width = rows[0].length;
  const ragged = rows.findIndex((row) => row.length !== width);
  if (ragged >= 0) throw new Error(`row ${ragged + 1} has ${rows[ragged].length} cells, the first one has ${width}`);
  const columns = new Map(head.map((name, at) => [name, rows.map((row) => row[at])]));
  return { name: "", ...valuesOf(rows.flat()), shape: [rows.length, width], columns };
}

const isNumber = (cell) => cell.trim() !== "" && !Number.isNaN(Number(cell));

/** Cells as numbers, empty ones as NaN, where all of them are; else as texts. */
export function valuesOf(cells) {
  if (!cells.every((c) => isNumber(c) || c.trim() === "")) return { datatype: "BYTES", data: cells };
  return { datatype: "FP64", data: cells.map((c) => (isNumber(c) ? Number(c) : NaN)) };
}

function cells(source, separator) {
  const rows = [[""]];
  let quoted = false;
  for (let i = 0; i < source.length; i++) {
    const [c, row] = [source[i], rows.at(-1)];
    if (quoted) {
      if (c !== '"') row[row.length - 1] += c;
      else if (source[i + 1] === '"') row[row.length - 1] += source[++i];
      else quoted = false;
    } else if (c === '"' && row.at(-1) === "") quoted = true;
    else if (c === separator) row.push("");
    else if (c === "\n") rows.push([""]);
    else if (c !== "\r") row[row.length - 1] += c;
  }
  return rows;
}

// -- into an input -------------------------------------------------------------------------------------------------------
/** A file's array for an input: its datatype where that loses no kind of number, which `note` tells. */
export function asInput(array, input) {
  if (array.datatype === input.datatype) return { ...array, note: "" };
  const [from, to] = [DATATYPES[array.datatype].kind, DATATYPES[input.datatype].kind];
  const whole = from === "f" && to === "i" && Array.from(array.data).every(Number.isInteger);
  if (!(to === "f" && "fi".includes(from)) && !(to === "i" && from === "i") && !whole) return { ...array, note: "" };
  const data = Array.from(array.data, (v) => (to === "f" ? Number(v) : v));
  return { ...array, datatype: input.datatype, data, note: `${array.datatype} in the file, sent as ${input.datatype}` };
}
