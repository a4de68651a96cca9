// What an image file declares about its pixels, read before it is decoded. A browser reads more kinds of files than
// pneumo_tfds/decode, and some kinds to other pixels. Those are refused, so that page and command never differ unnoticed.

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], JPEG = [0xff, 0xd8, 0xff], DICM = [0x44, 0x49, 0x43, 0x4d];
const ANIMATION = ["acTL", "fcTL", "fdAT"];
const MIN_SIDE = 16, MAX_PIXELS = 120e6, MAX_PIXELS_WITH_ALPHA = 40e6;
const COMMAND = "python -m export.predict reads it";

/** The file is of a kind that this page does not read; the message is one sentence that says what to do. */
export class RefusedFile extends Error {}

/** Return {format, width, height} of a JPEG or PNG (Uint8Array); throw a RefusedFile for anything else. */
export function readHeader(bytes) {
  if (!bytes.length) throw new RefusedFile("The file is empty.");
  const begins = (mark, at = 0) => mark.every((byte, i) => bytes[at + i] === byte);
  if (begins(DICM, 128)) throw new RefusedFile(`A browser cannot read DICOM; ${COMMAND}.`);
  if (!begins(PNG) && !begins(JPEG)) throw new RefusedFile("This is not a JPEG or PNG file, whatever its name is; convert it.");
  const header = begins(PNG) ? pngHeader(bytes) : jpegHeader(bytes), { width, height } = header;
  if (Math.min(width, height) < MIN_SIDE) throw new RefusedFile(`The image has only ${width} x ${height} pixels; at least ${MIN_SIDE} a side are needed.`);
  const most = header.alpha ? MAX_PIXELS_WITH_ALPHA : MAX_PIXELS;
  if (width * height > most) throw new RefusedFile(`The image has ${width} x ${height} pixels; the limit is ${most / 1e6} million.`);
  return header;
}

function pngHeader(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), kinds = new Set();
  let at = PNG.length, last = "";
  while (at + 12 <= bytes.length && last !== "IEND") {
    const length = view.getUint32(at);
    last = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    at += 12 + length;
    if (at > bytes.length) break;
    kinds.add(last);
  }
  if (!kinds.has("IHDR") || !kinds.has("IEND")) throw new RefusedFile("The PNG is damaged or truncated; copy it again.");
  if (ANIMATION.some((kind) => kinds.has(kind))) throw new RefusedFile("The PNG is animated; save a single image of it.");
  const [bits, colour] = [bytes[24], bytes[25]];
  if (bits > 8) throw new RefusedFile(`The PNG has ${bits}-bit values, of which a browser keeps only 8 bits; ${COMMAND}.`);
  if (colour === 0 && kinds.has("tRNS")) throw new RefusedFile(`The PNG has a transparent grey level, which a browser makes black; ${COMMAND}.`);
  return { format: "PNG", width: view.getUint32(16), height: view.getUint32(20), alpha: colour === 4 || colour === 6 || kinds.has("tRNS") };
}

function jpegHeader(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isFrame = (marker) => marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
  const hasNoLength = (marker) => marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8);
  let at = 2;
  while (at + 10 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1];
    if (marker === 0xff) at += 1;
    else if (hasNoLength(marker)) at += 2;
    else if (isFrame(marker)) {
      if (!endsAfter(bytes, at)) throw new RefusedFile("The JPEG is truncated; copy it again.");
      const [bits, height, width, components] = [bytes[at + 4], view.getUint16(at + 5), view.getUint16(at + 7), bytes[at + 9]];
      if (bits !== 8) throw new RefusedFile(`The JPEG has ${bits}-bit values, which browsers do not read; save it with 8 bits.`);
      if (components !== 1 && components !== 3) throw new RefusedFile(`The JPEG is in CMYK colours, which a browser shows in its own way; ${COMMAND}.`);
      return { format: "JPEG", width, height, alpha: false };
    } else at += 2 + view.getUint16(at + 2);
  }
  throw new RefusedFile("The JPEG is damaged or truncated; copy it again.");
}

/** Whether the marker of a JPEG's end stands behind a place. */
function endsAfter(bytes, at) {
  for (let i = bytes.length - 2; i > at; i--) if (bytes[i] === 0xff && bytes[i + 1] === 0xd9) return true;
  return false;
}
