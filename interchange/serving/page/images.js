// Pixels for inputs that look like images: where the axes are, and what the values are.

/** How values between 0 and 1 become those of the input. */
export const SCALES = {
  "0 to 1": (v) => v,
  "0 to 255 (raw)": (v) => Math.round(v * 255),
  "-1 to 1": (v) => v * 2 - 1,
  "0 to 16": (v) => Math.round(v * 16),
  "ImageNet's mean and deviation": (v, channel) => (v - [0.485, 0.456, 0.406][channel % 3]) / [0.229, 0.224, 0.225][channel % 3],
};

/**
 * Where the axes of an image are in an input: {height, width, channels, order, lead}, or null where it looks like none.
 * height, width: a number, or the name of an open size.  order: of the last axes.  lead: how many axes come before.
 */
export function layoutOf(input) {
  const d = input.sizes;
  if (input.datatype === "BOOL" || input.datatype === "BYTES") return null;
  const side = (v) => typeof v === "string" || v >= 4;
  const colours = (v) => v === 1 || v === 3 || v === 4;
  const at = (h, w, channels, order, lead) => (side(d[h]) && side(d[w]) ? { height: d[h], width: d[w], channels, order, lead } : null);
  if (d.length === 4) {
    return (colours(d[1]) && at(2, 3, d[1], "CHW", 1)) || (colours(d[3]) && at(1, 2, d[3], "HWC", 1)) || null;
  }
  const fixed = (h, w) => typeof d[h] === "number" && typeof d[w] === "number";
  if (d.length === 3) {
    return (colours(d[0]) && at(1, 2, d[0], "CHW", 0)) || (colours(d[2]) && at(0, 1, d[2], "HWC", 0))
      || (fixed(1, 2) ? at(1, 2, 1, "HW", 1) : null);
  }
  return d.length === 2 && fixed(0, 1) ? at(0, 1, 1, "HW", 0) : null;
}

/** Whether an input is one to draw for: small, with one channel. */
export const drawable = (layout) =>
  layout !== null && layout.channels === 1 && [layout.height, layout.width].every((v) => typeof v === "number" && v <= 64);

export const defaultScale = (datatype) => (/INT/.test(datatype) ? "0 to 255 (raw)" : "0 to 1");

/** A picture in a file as {height, width, rgba}, at the layout's size; at its own where that is open. */
export async function decode(file, layout, sizes) {
  const bitmap = await createImageBitmap(file);
  const side = (v, own) => (typeof v === "number" ? v : sizes[v] > 1 ? sizes[v] : own);
  const [height, width] = [side(layout.height, bitmap.height), side(layout.width, bitmap.width)];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white"; // behind what is transparent
  context.fillRect(0, 0, width, height);
  context.imageSmoothingEnabled = bitmap.width !== width || bitmap.height !== height;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return { height, width, rgba: context.getImageData(0, 0, width, height).data };
}

/** The channels of a picture ({rgba}), or the ink of a drawing ({ink}), one after the other, 0 to 1. */
export function planes(image, channels, inverted) {
  const area = image.height * image.width;
  const channel = image.ink ? (at) => image.ink[at] : channelOf(image.rgba, channels);
  return Float64Array.from({ length: area * channels }, (_, i) => {
    const v = channel(i % area, Math.floor(i / area));
    return inverted ? 1 - v : v;
  });
}

/** The values of an image in the layout's order and at a scale of `SCALES`. */
export function pixels(image, layout, scale, inverted) {
  const [area, { channels }] = [image.height * image.width, layout];
  const values = planes(image, channels, inverted).map((v, i) => SCALES[scale](v, Math.floor(i / area)));
  return layout.order === "HWC" ? values.map((_, i) => values[(i % channels) * area + Math.floor(i / channels)]) : values;
}

function channelOf(rgba, channels) {
  if (channels !== 1) return (at, c) => rgba[at * 4 + c] / 255;
  // ITU-R BT.601, what Pillow's convert("L") and OpenCV have
  return (at) => (0.299 * rgba[at * 4] + 0.587 * rgba[at * 4 + 1] + 0.114 * rgba[at * 4 + 2]) / 255;
}

/** The shape of so many images of this size. */
export function imageShape(layout, { height, width }, images) {
  const own = { CHW: [layout.channels, height, width], HWC: [height, width, layout.channels], HW: [height, width] }[layout.order];
  return layout.lead ? [images, ...own] : own;
}
