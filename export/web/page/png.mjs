// The pixels of a PNG with transparency as they are stored. A canvas multiplies colours by their opacity and so forgets
// those of transparent pixels, by which pneumo_tfds/decode judges whether a picture is in colour.

import { RefusedFile } from "./headers.mjs";

const BEGIN = 8, GREY = 0, RGB = 2, PALETTE = 3, WITH_ALPHA = [4, 6];
const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const WHOLE = [[0, 0, 1, 1]];  // left, top and steps of a pass
const INTERLACED = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

const damaged = () => new RefusedFile("The PNG is damaged; copy it again.");

/** Return {data: RGBA with the colours as stored, width, height} of a PNG of at most 8 bits a sample (Uint8Array), not turned. */
export async function storedPixels(bytes) {
  const { chunks, packed } = chunksOf(bytes), view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const width = view.getUint32(16), height = view.getUint32(20), [bits, colour, , , interlaced] = bytes.subarray(24, 29);
  const channels = CHANNELS[colour], data = new Uint8Array(4 * width * height);
  const passes = interlaced ? INTERLACED : WHOLE, lengthOf = (columns) => Math.ceil((columns * channels * bits) / 8);
  const needed = passes.map(([left, top, across, down]) => Math.ceil((height - top) / down) * (1 + lengthOf(Math.ceil((width - left) / across))));
  const raw = await inflated(packed, needed.reduce((sum, each) => sum + each, 0));
  const step = Math.max(1, (channels * bits) / 8), paint = painter(colour, bits, chunks);
  let at = 0;
  for (const [left, top, across, down] of passes) {
    const columns = Math.ceil((width - left) / across), length = lengthOf(columns);
    let above = new Uint8Array(length);
    for (let y = top; y < height; y += down) {
      const row = raw.subarray(at + 1, at + 1 + length);
      if (row.length < length || raw[at] > 4) throw damaged();
      unfilter(raw[at], row, above, step);
      for (let x = 0; x < columns; x++) paint(row, x, data, 4 * (y * width + left + x * across));
      above = row;
      at += 1 + length;
    }
  }
  return { data, width, height };
}

/** The palette and the transparency of a PNG, and its packed pixels in pieces. */
function chunksOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), chunks = {}, packed = [];
  for (let at = BEGIN; at + 12 <= bytes.length;) {
    const length = view.getUint32(at), kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const content = bytes.subarray(at + 8, at + 8 + length);
    if (kind === "IDAT") packed.push(content);
    else if (!(kind in chunks) && (kind !== "tRNS" || !packed.length)) chunks[kind] = content;
    if (kind === "IEND") break;
    at += 12 + length;
  }
  return { chunks, packed };
}

/** Unpack so many bytes, and no more: a small file may hold gigabytes. */
async function inflated(packed, size) {
  let left = size;
  const first = new TransformStream({
    transform(piece, to) {
      to.enqueue(piece.subarray(0, left));
      left -= Math.min(left, piece.length);
      if (!left) to.terminate();
    },
  });
  try {
    const stream = new Blob(packed).stream().pipeThrough(new DecompressionStream("deflate")).pipeThrough(first);
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw damaged();
  }
}

/** Undo the filter of a row in place (PNG specification, 9.2); `step` is the number of bytes of a pixel. */
function unfilter(filter, row, above, step) {
  for (let i = 0; i < row.length; i++) {
    const left = i < step ? 0 : row[i - step], up = above[i], corner = i < step ? 0 : above[i - step];
    if (filter === 1) row[i] += left;
    else if (filter === 2) row[i] += up;
    else if (filter === 3) row[i] += (left + up) >> 1;
    else if (filter === 4) row[i] += paeth(left, up, corner);
  }
}

function paeth(left, up, corner) {
  const guess = left + up - corner, [a, b, c] = [left, up, corner].map((each) => Math.abs(guess - each));
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** Return a function that writes the RGBA of pixel x of a row to a place. */
function painter(colour, bits, { PLTE: palette = [], tRNS: opacity = [] }) {
  if (colour === PALETTE)
    return (row, x, data, to) => {
      const index = (row[(x * bits) >> 3] >> (8 - bits - ((x * bits) & 7))) & ((1 << bits) - 1);
      for (let k = 0; k < 3; k++) data[to + k] = palette[3 * index + k] ?? 0;
      data[to + 3] = opacity[index] ?? 255;
    };
  const channels = CHANNELS[colour], hasAlpha = WITH_ALPHA.includes(colour), colours = channels - hasAlpha;
  if (colour === GREY || bits !== 8) throw damaged();  // headers.mjs refuses a transparent level of grey, and 16 bits
  const key = colour === RGB && opacity.length === 6 ? [opacity[1], opacity[3], opacity[5]] : null;
  return (row, x, data, to) => {
    const from = x * channels;
    for (let k = 0; k < 3; k++) data[to + k] = row[from + (colours === 1 ? 0 : k)];
    data[to + 3] = hasAlpha ? row[from + colours] : key?.every((level, k) => level === row[from + k]) ? 0 : 255;
  };
}
