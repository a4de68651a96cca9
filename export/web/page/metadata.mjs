// Metadata of the exported file. onnxruntime-web does not give access to metadata_props, so the few protobuf fields that
// hold them are read here: ModelProto.metadata_props is field 14, its key field 1 and its value field 2.

import { FRAMINGS } from "./framing.mjs";

const PROPS_FIELD = 14;
const VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5;
const NEWEST_VERSION = 2, LARGEST_SIDE = 2048;
const TAIL = "\x72\x52\x0a\x0econtent_sha256\x12\x40";  // what precedes the 64 hex digits at the end of a file
// The keys that export/inference/onnx_metadata.py needs too.
const NEEDED = ["classes", "image_size", "resize", "threshold", "threshold_rule", "dataset", "dataset_version", "metrics", "intended_use", "version"];
const CLASSES = '["NORMAL", "PNEUMONIA"]', SUBTYPES = '["BACTERIA","VIRUS"]';

/** Fields of one protobuf message, as [number, payload]; the payload of a number is null. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0, scale = 1, byte;
    do {
      if (at >= bytes.length) throw new Error("the file ends too early");
      byte = bytes[at++];
      value += (byte & 127) * scale;
      scale *= 128;
    } while (byte & 128);
    return value;
  };
  while (at < bytes.length) {
    const tag = varint(), number = Math.floor(tag / 8), kind = tag % 8;
    if (kind === VARINT) { varint(); yield [number, null]; }
    else if (kind === FIXED64) { at += 8; yield [number, null]; }
    else if (kind === FIXED32) { at += 4; yield [number, null]; }
    else if (kind === BYTES) {
      const length = varint();
      if (at + length > bytes.length) throw new Error("the file ends too early");
      yield [number, bytes.subarray(at, at + length)];
      at += length;
    } else throw new Error("not a protobuf file");
  }
}

/** Read all metadata entries of an ONNX file (Uint8Array) as an object of texts. */
function readProps(model) {
  const props = {}, text = new TextDecoder();
  for (const [number, payload] of fields(model)) {
    if (number !== PROPS_FIELD || payload === null) continue;
    const entry = {};
    for (const [part, value] of fields(payload)) if (value !== null) entry[part] = text.decode(value);
    props[entry[1]] = entry[2] ?? "";
  }
  return props;
}

/** Read the metadata of an ONNX file (Uint8Array). Throws an Error with one sentence if it is not from this project. */
export function readMetadata(model) {
  const props = readProps(model);
  if ("version" in props && !/^\d{1,9}$/.test(props.version)) throw new Error("The model has a version that is not a number; export its run again.");
  if (Number(props.version) > NEWEST_VERSION) throw new Error(`The model has version ${props.version}, which is newer than this page.`);
  const missing = NEEDED.filter((key) => !(key in props));
  if (missing.length) throw new Error(`The model lacks the metadata ${missing.join(", ")}; it is not from this project.`);
  const framing = props.framing ?? "squeeze";  // files without the key were made before there was a choice
  if (!FRAMINGS.includes(framing)) throw new Error(`The model has the framing ${framing}, which this page does not know.`);
  const threshold = number(props.threshold), limits = readLimits(props, threshold), imageSize = number(props.image_size);
  if (props.classes !== CLASSES) throw new Error(`The model has the classes ${props.classes}, not ${CLASSES}; export its run again.`);
  if (![undefined, SUBTYPES].includes(props.subtypes)) throw new Error(`The model has the subtypes ${props.subtypes}, which this page does not know.`);
  if (!(0 <= threshold && threshold <= 1)) throw new Error("The model has a threshold that is not one in 0 to 1; export its run again.");
  if (!(Number.isInteger(imageSize) && 1 <= imageSize && imageSize <= LARGEST_SIDE)) throw new Error("The model has an image size that is none; export its run again.");
  return {
    framing,
    limits,
    fourWay: Boolean(props.certain_normal_below),
    guarantee: props.guarantee ?? "",
    goldenTolerance: JSON.parse(props.golden_tolerance ?? "{}"),  // of float16 and int8 files
    classes: JSON.parse(props.classes),
    subtypes: JSON.parse(props.subtypes ?? "null"),  // what the output subtype tells apart, or null
    imageSize,
    threshold,
    thresholdRule: props.threshold_rule,
    dataset: props.dataset,
    intendedUse: props.intended_use,
    metrics: JSON.parse(props.metrics ?? "{}"),
  };
}

/** Read a number as the exporter writes it; NaN for anything else, such as a blank. */
const number = (text) => /^\d+(\.\d+)?(e[+-]?\d+)?$/.test(text) ? Number(text) : NaN;

/**
 * Compare the digest at the end of an exported file with its content (docs/reference/onnx-file.md, "The digest"). Throws
 * an Error with one sentence if they differ. Files that were made before there was one pass, and so does every file in a
 * page of another machine without HTTPS, where browsers have no SHA-256.
 */
export async function checkDigest(model) {
  const text = new TextDecoder("latin1"), tail = text.decode(model.subarray(-TAIL.length - 64));
  if (!tail.startsWith(TAIL)) {
    if ("content_sha256" in readProps(model)) throw new Error("The model was changed by another program after its export; export its run again.");
    return;
  }
  if (!globalThis.crypto?.subtle) return;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", model.subarray(0, -tail.length)));
  const found = Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== tail.slice(-64)) throw new Error("The model is damaged: its content is not what its digest says; copy it again.");
}

/** Read the limits of the answers, as decision.mjs needs them; of a file with two answers both are the threshold. */
function readLimits(props, threshold) {
  const [low, high, familiarity] = ["certain_normal_below", "certain_pneumonia_from", "familiarity_threshold"].map((key) => props[key] ? number(props[key]) : null);
  if (low === null && high === null && familiarity === null) return { low: threshold, high: threshold, familiarity };
  const inOrder = low !== null && high !== null && 0 <= low && low <= high && high <= 1;
  if (!inOrder || (familiarity !== null && !(0 <= familiarity && familiarity <= 1))) throw new Error("The model has limits that are not in order in 0 to 1; export its run again.");
  return { low, high, familiarity };
}
