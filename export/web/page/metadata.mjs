// Metadata of the exported file. onnxruntime-web does not give access to metadata_props, so the few protobuf fields that
// hold them are read here: ModelProto.metadata_props is field 14, its key field 1 and its value field 2.

import { FRAMINGS } from "./framing.mjs";

const PROPS_FIELD = 14;
const VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5;
const NEWEST_VERSION = 2;
const NEEDED = ["classes", "image_size", "threshold", "threshold_rule", "dataset", "intended_use", "version"];

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

/** Read the metadata of an ONNX file (Uint8Array). Throws an Error with one sentence if it is not from this project. */
export function readMetadata(model) {
  const props = {}, text = new TextDecoder();
  for (const [number, payload] of fields(model)) {
    if (number !== PROPS_FIELD || payload === null) continue;
    const entry = {};
    for (const [part, value] of fields(payload)) if (value !== null) entry[part] = text.decode(value);
    props[entry[1]] = entry[2] ?? "";
  }
  if (Number(props.version) > NEWEST_VERSION) throw new Error(`The model has version ${props.version}, which is newer than this page.`);
  const missing = NEEDED.filter((key) => !(key in props));
  if (missing.length) throw new Error(`The model lacks the metadata ${missing.join(", ")}; it is not from this project.`);
  const framing = props.framing ?? "squeeze";  // files without the key were made before there was a choice
  if (!FRAMINGS.includes(framing)) throw new Error(`The model has the framing ${framing}, which this page does not know.`);
  const threshold = Number(props.threshold), limits = readLimits(props, threshold);
  return {
    framing,
    limits,
    fourWay: Boolean(props.certain_normal_below),
    guarantee: props.guarantee ?? "",
    goldenTolerance: JSON.parse(props.golden_tolerance ?? "{}"),  // of float16 and int8 files
    classes: JSON.parse(props.classes),
    imageSize: Number(props.image_size),
    threshold,
    thresholdRule: props.threshold_rule,
    dataset: props.dataset,
    intendedUse: props.intended_use,
    metrics: JSON.parse(props.metrics ?? "{}"),
  };
}

/** Read the limits of the answers, as decision.mjs needs them; of a file with two answers both are the threshold. */
function readLimits(props, threshold) {
  const [low, high, familiarity] = ["certain_normal_below", "certain_pneumonia_from", "familiarity_threshold"].map((key) => props[key] ? Number(props[key]) : null);
  if (low === null && high === null && familiarity === null) return { low: threshold, high: threshold, familiarity };
  const inOrder = low !== null && high !== null && 0 <= low && low <= high && high <= 1;
  if (!inOrder || (familiarity !== null && !(0 <= familiarity && familiarity <= 1))) throw new Error("The model has limits that are not in order in 0 to 1; export its run again.");
  return { low, high, familiarity };
}
