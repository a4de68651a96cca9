// From an image file to the model's input: a square grey image of S x S bytes, as pneumo_tfds/decode makes it.
// Python decodes a large JPEG directly at 1/2, 1/4 or 1/8 of its size. A browser decodes it at full size, so blocks are
// averaged here first: at 1/8 that is the same arithmetic, at 1/2 and 1/4 nearly the same.
// A picture here is {grey, width, height, format, coloured, darkened}, with its grey levels in a Uint8Array
// [height * width], the part of it that is in colour, 0 to 1, and whether transparency made it darker than its colours.

import { exposureRemark, hasTwoLevels, levelsRemark } from "./exposure.mjs";
import { coveringSide, sourceBox, targetBox } from "./framing.mjs";
import { readHeader } from "./headers.mjs";
import { storedPixels } from "./png.mjs";

const RED = 0.299, GREEN = 0.587, BLUE = 0.114;
const APART = 16, COLOURFUL = 0.1;  // as in pneumo_tfds/decode/colour.py
const NARROWEST = 0.5, WIDEST = 4;  // as in pneumo_tfds/decode/reasons.py
const FILLER = 128, BLOCK = 8;  // grey level and height of the blocks that a browser shows for missing data of a JPEG

/** Decode a File or Blob in the browser to the model's input, Uint8Array [side * side]; throws as `readPicture` does. */
export async function decodeFile(file, side, framing) {
  return frame(await readPicture(file), side, framing);
}

/** Decode a File or Blob in the browser to a picture of its own size; throws an Error with one sentence. */
export async function readPicture(file) {
  const bytes = new Uint8Array(await file.arrayBuffer()), { format, alpha } = readHeader(bytes);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Error(`This browser cannot read the ${format} file; it may be damaged. Copy it again, or save it as another kind.`);
  }
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error(`The image is too large for this browser (${width} x ${height} pixels).`);
  context.fillStyle = "black";  // transparent pixels become black
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const stored = alpha ? await storedPixels(bytes) : undefined;
  return pictureOf(context.getImageData(0, 0, width, height).data, width, height, format, stored);
}

/**
 * Return the picture of decoded RGBA bytes, on black; throws an Error with one sentence if that is no picture of an X-ray.
 * @param stored {data, width, height} of a file with transparency, as `storedPixels` returns them.
 */
export function pictureOf(data, width, height, format, stored = { data, width, height }) {
  const grey = toGrey(data);
  if (grey.every((level) => level === grey[0])) throw new Error("The image is empty: all pixels are the same.");
  if (format === "JPEG" && endsInFiller(grey, width))
    throw new Error("The bottom of the JPEG is one even grey, as if data were missing; copy it again. If it is whole, python -m export.predict reads it.");
  if (hasTwoLevels({ grey, width, height })) throw new Error("The image has two grey levels and hardly another, so it looks like a mask or a drawing, not an X-ray.");
  return { grey, width, height, format, coloured: colouredPart(stored, format), darkened: stored.data !== data && isDarkened(stored.data) };
}

/** Whether RGBA bytes are darker on black than their colours say. */
function isDarkened(rgba) {
  const grey = toGrey(rgba);
  return grey.some((level, i) => Math.round((level * rgba[4 * i + 3]) / 255) !== level);
}

/** Whether no pixel has colour enough to colour a block, as of most X-rays. */
function isGrey(rgba) {
  for (let i = 0; i < rgba.length; i += 4)
    if (Math.max(rgba[i], rgba[i + 1], rgba[i + 2]) - Math.min(rgba[i], rgba[i + 1], rgba[i + 2]) > APART) return false;
  return true;
}

/**
 * The part of the blocks of RGBA bytes whose channels differ, 0 to 1. Blocks of a JPEG are those it is made of, as Python
 * decodes it at 1/8; those of a PNG divide it evenly.
 */
export function colouredPart({ data, width, height }, format) {
  if (isGrey(data)) return 0;
  const across = Math.ceil(width / BLOCK), down = Math.ceil(height / BLOCK);
  const means = [0, 1, 2].map((channel) => {
    const grey = new Uint8Array(width * height);
    for (let i = 0; i < grey.length; i++) grey[i] = data[4 * i + channel];
    return format === "JPEG" ? averaged({ grey, width, height }, BLOCK).grey : resize(grey, width, height, across, down);
  });
  let coloured = 0;
  for (let i = 0; i < across * down; i++) {
    const levels = means.map((each) => each[i]);
    coloured += Math.max(...levels) - Math.min(...levels) > APART;
  }
  return coloured / (across * down);
}

/** Why a picture is not for a model whose input has this side, as pneumo_tfds/decode/reasons.py says it. */
export function unfitFor({ coloured, width, height }, side) {
  const unfit = [];
  if (coloured > COLOURFUL) unfit.push(`in colour: ${(100 * coloured).toFixed(0)} % of the picture`);
  if (2 * Math.min(width, height) < side) unfit.push(`only ${width} x ${height} pixels, fewer than X-ray detectors have`);
  if (width < NARROWEST * height || width > WIDEST * height) unfit.push(`${width} x ${height} pixels are not the shape of a chest X-ray`);
  return unfit;
}

/** What is unusual about a picture and the model's input that was made of it, texts as of `export.predict`. */
export function remarksOn(picture, square) {
  const darker = picture.darkened ? "partly transparent, and darker there than its colours say" : "";
  return [exposureRemark(square), darker, picture.format === "PNG" ? levelsRemark(picture.grey) : ""].filter(Boolean);
}

/** Whether a picture ends in rows of blocks without data, as a JPEG does that was cut and has an end marker again. */
export function endsInFiller(grey, width) {
  return grey.subarray(-BLOCK * width).every((level) => level === FILLER);
}

/** Fit a picture into a square of `side`, Uint8Array [side * side]; a large JPEG is reduced first, as Python decodes it. */
export function frame(picture, side, framing) {
  const { grey, width, height } = picture.format === "JPEG" ? reduce(picture, side, framing) : picture;
  const target = targetBox(width, height, side, framing);
  const part = cut(grey, width, sourceBox(width, height, framing));
  const fitted = resize(part.grey, part.width, part.height, target.width, target.height);
  const square = new Uint8Array(side * side);
  for (let y = 0; y < target.height; y++)
    square.set(fitted.subarray(y * target.width, (y + 1) * target.width), (target.top + y) * side + target.left);
  return square;
}

/** Scale a picture down to a longer side of at most `longest`, to show it. */
export function within(picture, longest) {
  const { grey, width, height } = picture;
  if (Math.max(width, height) <= longest) return picture;
  const target = targetBox(width, height, longest, "pad");
  return { grey: resize(grey, width, height, target.width, target.height), width: target.width, height: target.height };
}

function cut(grey, stride, { left, top, width, height }) {
  if (width === stride) return { grey: grey.subarray(top * stride, (top + height) * stride), width, height };
  const part = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) part.set(grey.subarray((top + y) * stride + left, (top + y) * stride + left + width), y * width);
  return { grey: part, width, height };
}

/** Average blocks of a picture; their side is the largest of 8, 4 and 2 that leaves enough pixels for the square. */
export function reduce({ grey, width, height }, side, framing) {
  const scale = [8, 4, 2].find((each) => coveringSide(width, height, framing) >= each * side);
  return scale ? averaged({ grey, width, height }, scale) : { grey, width, height };
}

/** Average blocks of so many pixels a side; at the right and the bottom they may be smaller. */
function averaged({ grey, width, height }, scale) {
  const across = Math.ceil(width / scale), down = Math.ceil(height / scale), small = new Uint8Array(across * down);
  for (let y = 0; y < down; y++)
    for (let x = 0; x < across; x++) {
      const right = Math.min(width, (x + 1) * scale), bottom = Math.min(height, (y + 1) * scale);
      let sum = 0;
      for (let v = y * scale; v < bottom; v++) for (let u = x * scale; u < right; u++) sum += grey[v * width + u];
      small[y * across + x] = Math.round(sum / ((right - x * scale) * (bottom - y * scale)));
    }
  return { grey: small, width: across, height: down };
}

/** RGBA bytes to luminance bytes. */
export function toGrey(rgba) {
  const grey = new Uint8Array(rgba.length / 4);
  for (let i = 0, j = 0; i < grey.length; i++, j += 4)
    grey[i] = Math.round(RED * rgba[j] + GREEN * rgba[j + 1] + BLUE * rgba[j + 2]);
  return grey;
}

/** Resize grey levels to across x down: area averaging, or linear interpolation if a side must be enlarged. */
export function resize(grey, width, height, across, down) {
  const reach = width >= across && height >= down ? areaWeights : linearWeights;
  const columns = reach(width, across), rows = reach(height, down);
  const narrow = new Float32Array(height * across);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < across; x++) {
      const { from, weights } = columns[x];
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * grey[y * width + from + k];
      narrow[y * across + x] = sum;
    }
  const result = new Uint8Array(across * down);
  for (let y = 0; y < down; y++) {
    const { from, weights } = rows[y];
    for (let x = 0; x < across; x++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * narrow[(from + k) * across + x];
      result[y * across + x] = Math.round(sum);
    }
  }
  return result;
}

/** For each target pixel, the source pixels that it covers, with their weights. */
function areaWeights(length, side) {
  const scale = length / side;
  return Array.from({ length: side }, (_, i) => {
    const start = i * scale, stop = Math.min(length, start + scale), from = Math.floor(start + 1e-9), weights = [];
    for (let k = from; k < stop - 1e-9; k++) weights.push((Math.min(k + 1, stop) - Math.max(k, start)) / scale);
    return { from, weights };
  });
}

/** For each target pixel, the two source pixels around its centre. */
function linearWeights(length, side) {
  return Array.from({ length: side }, (_, i) => {
    const centre = Math.min(Math.max(((i + 0.5) * length) / side - 0.5, 0), length - 1);
    const from = Math.min(Math.floor(centre), Math.max(length - 2, 0)), part = centre - from;
    return { from, weights: length > 1 ? [1 - part, part] : [1] };
  });
}
