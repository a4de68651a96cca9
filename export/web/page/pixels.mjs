// From an image file to the model's input: a square grey image of S x S bytes, as pneumo_tfds/decode/pixels.py makes it.
// Python decodes a large JPEG directly at 1/2, 1/4 or 1/8 of its size. A browser decodes it at full size, so blocks are
// averaged here first: at 1/8 that is the same arithmetic, at 1/2 and 1/4 nearly the same.

const RED = 0.299, GREEN = 0.587, BLUE = 0.114;
const MAX_PIXELS = 120e6;
const JPEG = [0xff, 0xd8, 0xff];

/** Decode a File or Blob in the browser. Returns Uint8Array [side * side]; throws an Error with one sentence. */
export async function decodeFile(file, side) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Error("This browser cannot read the file as an image (JPEG and PNG work, DICOM does not).");
  }
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) throw new Error(`The image has ${width} x ${height} pixels; the limit is 120 million.`);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error(`The image is too large for this browser (${width} x ${height} pixels).`);
  context.fillStyle = "black";  // transparent pixels become black
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const grey = toGrey(context.getImageData(0, 0, width, height).data);
  if (grey.every((level) => level === grey[0])) throw new Error("The image is empty: all pixels are the same.");
  const start = new Uint8Array(await file.slice(0, 3).arrayBuffer());
  const reduced = JPEG.every((byte, i) => start[i] === byte) ? reduce(grey, width, height, side) : { grey, width, height };
  return resize(reduced.grey, reduced.width, reduced.height, side);
}

/** Average blocks of a JPEG whose side is the largest of 8, 4 and 2 that leaves both sides at least `side` long. */
export function reduce(grey, width, height, side) {
  const scale = [8, 4, 2].find((each) => Math.min(width, height) >= each * side);
  if (!scale) return { grey, width, height };
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

/** Resize width x height to side x side: area averaging, or linear interpolation if a side must be enlarged. */
export function resize(grey, width, height, side) {
  const reach = Math.min(width, height) >= side ? areaWeights : linearWeights;
  const columns = reach(width, side), rows = reach(height, side);
  const narrow = new Float32Array(height * side);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < side; x++) {
      const { from, weights } = columns[x];
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * grey[y * width + from + k];
      narrow[y * side + x] = sum;
    }
  const square = new Uint8Array(side * side);
  for (let y = 0; y < side; y++) {
    const { from, weights } = rows[y];
    for (let x = 0; x < side; x++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * narrow[(from + k) * side + x];
      square[y * side + x] = Math.round(sum);
    }
  }
  return square;
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
