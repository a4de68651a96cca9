// The golden check: compares the probabilities here with Keras's, and the pixels that this browser decodes with Python's.

import { decide, near } from "./decision.mjs";
import { RefusedFile } from "./headers.mjs";

export const TENSOR_BOUND = 1e-4;  // largest difference of a probability on the same pixels: another runtime, the same arithmetic
export const FILE_BOUND = 0.01;    // the same for the same file: another JPEG decoder as well
export const FAMILIARITY_BOUND = 1e-3;  // largest difference of a familiarity on the same pixels: one of its steps
export const LEVEL_BOUND = 2;      // grey levels of a pixel; in a steep model one or two may change a probability by more than FILE_BOUND

/**
 * @param classifier the model; @param arrays golden.npz as readNpz returns it;
 * @param decode async (Blob, side, framing) => Uint8Array, or null if there is no image decoder.
 * @returns {tensors, files: each {count, worst, passed}, decisions: how many of the answers are others, refused: the number of files of a kind that is not read here,
 * levels: the largest difference of a pixel}
 */
export async function goldenCheck(classifier, arrays, decode) {
  const { images, probability, names } = arrays, { imageSize: side, framing } = classifier.metadata, size = side * side;
  if (images.shape[1] !== side) throw new Error("golden.npz belongs to another model.");
  const expected = probability.data, tensors = { count: expected.length, worst: 0 };
  const files = { count: 0, worst: 0 };
  let levels = 0, refused = 0;
  const worse = (found, i, part) => { part.worst = Math.max(part.worst, Math.abs(found.probability - expected[i])); };
  const tolerance = { probability: TENSOR_BOUND, familiarity: FAMILIARITY_BOUND, subtype: TENSOR_BOUND, ...classifier.metadata.goldenTolerance };
  const { limits } = classifier.metadata, shares = arrays.familiarity?.data, kinds = arrays.subtype?.data;
  const margins = [Math.max(tolerance.probability, FAMILIARITY_BOUND), tolerance.familiarity];  // as in export/inference/golden.py
  let decisions = 0, unfamiliar = 0, otherKind = 0;
  (await classifier.predict(images.data)).forEach((found, i) => {
    worse(found, i, tensors);
    if (shares) unfamiliar = Math.max(unfamiliar, Math.abs(found.familiarity - shares[i]));
    if (kinds) otherKind = Math.max(otherKind, Math.abs(found.viral - kinds[i]));
    const other = arrays.decision && decide(limits, found.probability, found.familiarity).decision !== arrays.decision.data[i];
    if (other && !near(limits, expected[i], shares ? shares[i] : null, ...margins)) decisions++;
  });
  for (let i = 0; decode && i < names.data.length; i++) {
    const encoded = arrays[`file_${i}`];
    if (!encoded) continue;
    let pixels;
    try {
      pixels = await decode(new Blob([encoded.data]), side, framing);
    } catch (error) {
      if (!(error instanceof RefusedFile)) throw error;
      refused++;
      continue;
    }
    const golden = images.data.subarray(i * size, (i + 1) * size);
    pixels.forEach((level, k) => { levels = Math.max(levels, Math.abs(level - golden[k])); });
    worse((await classifier.predict(pixels))[0], i, files);
    files.count++;
  }
  tensors.passed = tensors.worst <= tolerance.probability && unfamiliar <= tolerance.familiarity && otherKind <= tolerance.subtype && decisions === 0;
  files.passed = files.worst <= FILE_BOUND || levels <= LEVEL_BOUND;
  return { tensors, files, decisions, refused, levels };
}
