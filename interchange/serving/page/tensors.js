// Tensors: {name, datatype, shape, data}, the data flat and row-major, a list or a typed array.

// array: what holds the values; bytes: of one element; kind: b(ool), i(nteger), f(loat), t(ext)
export const DATATYPES = {
  BOOL: { bytes: 1, kind: "b" },
  UINT8: { bytes: 1, kind: "i", array: Uint8Array },
  UINT16: { bytes: 2, kind: "i", array: Uint16Array },
  UINT32: { bytes: 4, kind: "i", array: Uint32Array },
  UINT64: { bytes: 8, kind: "i", array: BigUint64Array },
  INT8: { bytes: 1, kind: "i", array: Int8Array },
  INT16: { bytes: 2, kind: "i", array: Int16Array },
  INT32: { bytes: 4, kind: "i", array: Int32Array },
  INT64: { bytes: 8, kind: "i", array: BigInt64Array },
  FP16: { bytes: 2, kind: "f" },
  BF16: { bytes: 2, kind: "f" },
  FP32: { bytes: 4, kind: "f", array: Float32Array },
  FP64: { bytes: 8, kind: "f", array: Float64Array },
  BYTES: { bytes: 0, kind: "t" },
};

export const size = (shape) => shape.reduce((a, b) => a * b, 1);

// -- JSON ------------------------------------------------------------------------------------------------------------
/** JSON whose large whole numbers stay what they are, in browsers that tell their text. */
export const parse = (text) =>
  JSON.parse(text, (_, v, context) =>
    typeof v === "number" && Number.isInteger(v) && !Number.isSafeInteger(v) && /^-?\d+$/.test(context?.source ?? "")
      ? BigInt(context.source) : v);

// what JSON has no number for is sent, and comes, as these texts
const WORDS = { NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity };

/** The shortest text that reads back as the same float32. */
function single(v) {
  if (!Number.isFinite(v)) return JSON.stringify(String(v));
  for (let digits = 6; digits < 9; digits++) {
    const text = Number(v.toPrecision(digits));
    if (Math.fround(text) === Math.fround(v)) return String(text);
  }
  return String(Number(v.toPrecision(9)));
}

function text(v, datatype) {
  if (typeof v === "bigint") return String(v);
  if (typeof v === "number") {
    return Number.isFinite(v) ? (datatype === "FP32" || datatype === "BF16" ? single(v) : String(v)) : JSON.stringify(String(v));
  }
  return JSON.stringify(v);
}

/** The data of a tensor as one flat JSON list. */
export const jsonOf = (tensor) => `[${Array.from(tensor.data, (v) => text(v, tensor.datatype)).join(", ")}]`;

/** The data as nested JSON, for people: a row of numbers stands on one line. */
export function nestedJson({ shape, data, datatype }, indent = "") {
  if (shape.length === 0) return text(data[0], datatype);
  if (shape.length === 1) return `[${Array.from(data, (v) => text(v, datatype)).join(", ")}]`;
  const step = size(shape.slice(1));
  const rows = Array.from({ length: shape[0] }, (_, i) =>
    nestedJson({ shape: shape.slice(1), data: data.slice(i * step, (i + 1) * step), datatype }, `${indent} `));
  return `[${rows.join(`,\n${indent} `)}]`;
}

/** The shape and the flat values of nested lists. Throws for lists of unequal lengths. */
export function unnest(nested) {
  const shape = [];
  for (let at = nested; Array.isArray(at); at = at[0]) {
    shape.push(at.length);
    if (at.length === 0) break;
  }
  const data = [];
  (function walk(at, depth) {
    if (Array.isArray(at) !== depth < shape.length || (Array.isArray(at) && at.length !== shape[depth])) {
      throw new Error("the lists are of unequal lengths");
    }
    if (Array.isArray(at)) at.forEach((v) => walk(v, depth + 1));
    else data.push(at);
  })(nested, 0);
  return { shape, data };
}

/** The shape of so many values in one list, where the declared sizes leave one at most open; else one axis. */
export function shapeOf(values, declared, sizes) {
  const known = declared.map((d) => (typeof d === "number" ? d : null));
  const open = known.flatMap((d, i) => (d === null ? [i] : []));
  const chosen = declared.map((d, i) => known[i] ?? evaluate(d, sizes));
  if (size(chosen) === values) return chosen;
  for (const axis of open) {
    const rest = size(chosen.filter((_, i) => i !== axis));
    if (rest > 0 && values % rest === 0) return chosen.map((d, i) => (i === axis ? values / rest : d));
  }
  return [values];
}

// -- sizes -----------------------------------------------------------------------------------------------------------
/** The value of a size, 2*n + 1 or (n + 1)//2, where the names in it have these values. */
export function evaluate(dim, sizes) {
  const tokens = String(dim).match(/\d+|[A-Za-z_]\w*|\/\/|[-+*%(),]/g) ?? [];
  let at = 0;
  const take = (...wanted) => (wanted.includes(tokens[at]) ? tokens[at++] : null);
  function atom() {
    if (take("-")) return -product();
    if (take("(")) {
      const inner = sum();
      take(")");
      return inner;
    }
    const token = tokens[at++];
    if (/^\d/.test(token)) return Number(token);
    if (take("(")) { // max(a, b), min(a, b)
      const [a, , b] = [sum(), take(","), sum()];
      take(")");
      return token === "max" ? Math.max(a, b) : Math.min(a, b);
    }
    return sizes[token] ?? 1;
  }
  function product() {
    let left = atom();
    for (let op = take("*", "//", "%"); op; op = take("*", "//", "%")) {
      const right = atom();
      left = op === "*" ? left * right : op === "//" ? Math.floor(left / right) : left - right * Math.floor(left / right);
    }
    return left;
  }
  function sum() {
    let left = product();
    for (let op = take("+", "-"); op; op = take("+", "-")) left = op === "+" ? left + product() : left - product();
    return left;
  }
  return sum();
}

/** The names in the sizes of inputs, in order. */
export const namesIn = (inputs) =>
  [...new Set(inputs.flatMap((p) => p.sizes).filter((d) => typeof d !== "number")
    .flatMap((d) => d.match(/[A-Za-z_]\w*(?!\w*\()/g) ?? []))];

// -- bytes: little endian, as the protocol's binary extension has them --------------------------------------------------
function half(v) {
  const [sign, a] = [v < 0 || Object.is(v, -0) ? 0x8000 : 0, Math.abs(v)];
  if (Number.isNaN(v)) return 0x7e00;
  if (a >= 65520) return sign | 0x7c00;
  if (a < 2 ** -14) return sign | even(a * 2 ** 24);
  let exponent = Math.floor(Math.log2(a));
  if (2 ** exponent > a) exponent--; // log2 rounds
  if (2 ** (exponent + 1) <= a) exponent++;
  return sign + ((exponent + 15) << 10) + even((a / 2 ** exponent - 1) * 1024); // a carry moves into the exponent
}

function even(v) {
  const low = Math.floor(v);
  return v - low > 0.5 || (v - low === 0.5 && low % 2) ? low + 1 : low;
}

function fromHalf(bits) {
  const [sign, exponent, part] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return part ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + part / 1024) * 2 ** (exponent - 15) : part * 2 ** -24);
}

function brain(v) {
  const bits = new Uint32Array(Float32Array.of(v).buffer)[0];
  return Number.isNaN(v) ? 0x7fc0 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

const fromBrain = (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0];

/** The bytes of a tensor. */
export function rawOf({ datatype, data }) {
  if (datatype === "BYTES") {
    const encoder = new TextEncoder();
    return new Uint8Array(Array.from(data).flatMap((t) => {
      const bytes = encoder.encode(t);
      return [...new Uint8Array(Uint32Array.of(bytes.length).buffer), ...bytes];
    }));
  }
  const values = Array.from(data, (v) => numberOf(v, datatype));
  if (datatype === "BOOL") return Uint8Array.from(values, Number);
  if (datatype === "FP16") return new Uint8Array(Uint16Array.from(values, half).buffer);
  if (datatype === "BF16") return new Uint8Array(Uint16Array.from(values, brain).buffer);
  return new Uint8Array(DATATYPES[datatype].array.from(values).buffer);
}

/** A value as the datatype has it. Throws where it would be another one: bytes cannot say what is wrong, so it is said here. */
function numberOf(v, datatype) {
  const { kind, array } = DATATYPES[datatype];
  const found = typeof v === "string" && kind === "f" ? WORDS[v] : v;
  const right = kind === "b" ? typeof found === "boolean" : typeof found === "number" || typeof found === "bigint";
  if (right && kind === "i") {
    if (typeof found === "number" && !Number.isInteger(found)) throw new Error(`${v} is no whole number, as ${datatype} has them`);
    const big = BigInt(found);
    const one = array.name.startsWith("Big") ? big : found;
    if (BigInt(array.of(one)[0]) === big) return one;
  }
  if (!right || kind === "i") throw new Error(`${JSON.stringify(String(v))} is no value of ${datatype}`);
  return typeof found === "bigint" ? Number(found) : found;
}

/** The values that bytes hold. bytes: a Uint8Array at the start of its own buffer. */
export function readRaw(bytes, datatype) {
  if (datatype === "BYTES") {
    const [view, texts, decoder] = [new DataView(bytes.buffer), [], new TextDecoder()];
    for (let at = 0; at < bytes.length;) {
      const length = view.getUint32(at, true);
      texts.push(decoder.decode(bytes.subarray(at + 4, at + 4 + length)));
      at += 4 + length;
    }
    return texts;
  }
  if (datatype === "BOOL") return Array.from(bytes, Boolean);
  if (datatype === "FP16") return Float32Array.from(new Uint16Array(bytes.buffer), fromHalf);
  if (datatype === "BF16") return Float32Array.from(new Uint16Array(bytes.buffer), fromBrain);
  return new DATATYPES[datatype].array(bytes.buffer);
}
