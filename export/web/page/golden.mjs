// The golden check: compares the probabilities here with Keras's, and the pixels that this browser decodes with Python's.

import { RefusedFile } from "./headers.mjs";

export const TENSOR_BOUND = 1e-4;  // largest difference of a probability on the same pixels: another runtime, the same arithmetic
export const FILE_BOUND = 0.01;    // the same for the same file: another JPEG decoder as well
export const LEVEL_BOUND = 2;      // grey levels of a pixel; in a steep model one or two may change a probability by more than FILE_BOUND

/**
 * @param classifier the model; @param arrays golden.npz as readNpz returns it;
 * @param decode async (Blob, side, framing) => Uint8Array, or null if there is no image decoder.
 * @returns {tensors, files: each {count, worst, passed}, refused: the number of files of a kind that is not read here,
 * levels: the largest difference of a pixel}
 */
export async function goldenCheck(classifier, arrays, decode) {
  const { images, probability, names } = arrays, { imageSize: side, framing } = classifier.metadata, size = side * side;
  if (images.shape[1] !== side) throw new Error("golden.npz belongs to another model.");
  const expected = probability.data, tensors = { count: expected.length, worst: 0 };
  const files = { count: 0, worst: 0 };
  let levels = 0, refused = 0;
  const worse = (found, i, part) => { part.worst = Math.max(part.worst, Math.abs(found.probability - expected[i])); };
  (await classifier.predict(images.data)).forEach((found, i) => worse(found, i, tensors));
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
  tensors.passed = tensors.worst <= TENSOR_BOUND;
  files.passed = files.worst <= FILE_BOUND || levels <= LEVEL_BOUND;
  return { tensors, files, refused, levels };
}
