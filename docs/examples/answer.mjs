// The answer to one image in JavaScript, as answer_of in predict.py; for predict.mjs and predict.html, which import it.

/** Return the metadata of an ONNX file (Uint8Array), which onnxruntime-web does not give: ModelProto's field 14. */
export function metadataOf(model) {
  const text = new TextDecoder(), metadata = {};
  for (const [field, entry] of fields(model)) {
    if (field !== 14) continue;
    const { 1: key, 2: value } = Object.fromEntries(fields(entry));
    metadata[text.decode(key)] = text.decode(value);
  }
  return metadata;
}

/** Return NORMAL, PNEUMONIA, UNCERTAIN or UNSUITABLE; of a file without the limits one of the first two. */
export function answerOf(metadata, outputs) {
  const probability = outputs.probability.data[0], [normal, pneumonia] = JSON.parse(metadata.classes);
  if ("familiarity_threshold" in metadata && outputs.familiarity.data[0] < Number(metadata.familiarity_threshold)) return "UNSUITABLE";
  if (probability < Number(metadata.certain_normal_below ?? metadata.threshold)) return normal;
  return probability >= Number(metadata.certain_pneumonia_from ?? metadata.threshold) ? pneumonia : "UNCERTAIN";
}

/** Return why a picture of this size is UNSUITABLE, whatever the model finds; empty if it is not. */
export function whyUnfit(metadata, width, height) {
  if (!("certain_normal_below" in metadata)) return "";  // two answers
  if (2 * Math.min(width, height) < Number(metadata.image_size)) return `only ${width} x ${height} pixels, fewer than X-ray detectors have`;
  return width < height / 2 || width > 4 * height ? `${width} x ${height} pixels are not the shape of a chest X-ray` : "";
}

/** Return probability, answer and name of a picture, and why it is unfit. */
export function lineOf(metadata, outputs, width, height, name = "") {
  const why = whyUnfit(metadata, width, height);
  const words = [outputs.probability.data[0].toFixed(6), why ? "UNSUITABLE" : answerOf(metadata, outputs), name, why && `(${why})`];
  return words.filter(Boolean).join(" ");
}

/** Give number and bytes of each field of a protobuf message that has bytes. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0, scale = 1, byte;
    do {
      byte = bytes[at++];
      value += (byte & 127) * scale;
      scale *= 128;
    } while (byte & 128);
    return value;
  };
  while (at < bytes.length) {
    const tag = varint(), kind = tag % 8;
    if (kind === 2) {
      const length = varint();
      yield [Math.floor(tag / 8), bytes.subarray(at, (at += length))];
    } else if (kind === 0) varint();
    else at += kind === 1 ? 8 : 4;
  }
}
