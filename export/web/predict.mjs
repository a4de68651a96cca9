// An example of an exported model in Node: the answers to JPEG and PNG files, with the page's own modules.
import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-web";
import { Classifier } from "./page/classifier.mjs";
import { goldenCheck } from "./page/golden.mjs";
import { readHeader } from "./page/headers.mjs";
import { readNpz } from "./page/npz.mjs";
import { frame, pictureOf, remarksOn, unfitFor } from "./page/pixels.mjs";
import { storedPixels } from "./page/png.mjs";

const USAGE = "usage: node predict.mjs MODEL.onnx IMAGE... [--two-way]     answers JPEG and PNG files\n"
  + "       node predict.mjs MODEL.onnx GOLDEN.npz [--two-way]   compares the answers with Keras's";

class Refused extends Error {}

async function bytesOf(path) {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    throw new Refused(`${path} cannot be read (${error.code}); give a file`);
  }
}

/** Decode the bytes of a JPEG or PNG to a picture of its own size. */
async function decode(bytes) {
  const { format, alpha } = readHeader(bytes), stored = alpha ? await storedPixels(bytes) : undefined;
  const { default: sharp } = await import("sharp");
  const image = sharp(bytes, { failOn: "warning", ignoreIcc: true }).autoOrient().flatten({ background: "black" });
  const { data, info } = await image.toColourspace("srgb").ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  return pictureOf(data, info.width, info.height, format, stored);
}

async function answerImages(classifier, paths, twoWay) {
  const { imageSize, framing } = classifier.metadata;
  let read = 0;
  for (const path of paths) {
    try {
      const picture = await decode(await bytesOf(path)), square = frame(picture, imageSize, framing);
      const [found] = await classifier.predict(square);
      const { decision, reasons } = classifier.decide({ ...found, unfit: unfitFor(picture, imageSize) }, { twoWay });
      show(found.probability.toFixed(4), decision, path, classifier.subtype(found, decision), [...reasons, ...remarksOn(picture, square)]);
      read++;
    } catch (error) {
      console.error(error instanceof Refused ? error.message : `${path}: ${error.message.split("\n")[0]}`);
    }
  }
  return read ? 0 : 2;
}

async function checkGolden(classifier, path, twoWay) {
  const arrays = await readNpz((await bytesOf(path)).buffer);
  const answers = await classifier.predict(arrays.images.data);
  answers.forEach((found, i) => {
    const { decision, reasons } = classifier.decide(found, { twoWay });
    show(found.probability.toFixed(6), decision, arrays.names.data[i], classifier.subtype(found, decision), reasons);
  });
  const square = async (blob, side, framing) => frame(await decode(new Uint8Array(await blob.arrayBuffer())), side, framing);
  const { tensors, files, decisions, levels } = await goldenCheck(classifier, arrays, square);
  console.log(`${tensors.passed ? "agrees with Keras" : "DIFFERS from Keras"}: largest difference of a probability ${tensors.worst.toExponential(2)}, ${decisions} other answers; `
    + `of the files decoded here pixels differ by up to ${levels} grey levels, a probability by ${files.worst.toExponential(2)}`);
  return tensors.passed && files.passed ? 0 : 1;
}

function show(probability, decision, name, subtype, reasons) {
  const kind = subtype ? [`${subtype.name} ${subtype.probability.toFixed(2)}`] : [];
  console.log(probability, decision, name, ...kind, reasons.length ? `(${reasons.join("; ")})` : "");
}

async function main(words) {
  const twoWay = words.includes("--two-way"), [model, ...files] = words.filter((word) => word !== "--two-way");
  if (words.includes("--help")) return console.log(USAGE), 0;
  if (!files.length || words.some((word) => word.startsWith("-") && word !== "--two-way")) throw new Refused(USAGE);
  ort.env.wasm.numThreads = 1;
  const content = await bytesOf(model);
  let classifier;
  try {
    classifier = await Classifier.create(ort, content);
  } catch (error) {
    throw new Refused(`${model}: ${error.message.split("\n")[0]}`);
  }
  if (!files[0].endsWith(".npz")) return answerImages(classifier, files, twoWay);
  try {
    return await checkGolden(classifier, files[0], twoWay);
  } catch (error) {
    throw error instanceof Refused ? error : new Refused(`${files[0]}: ${error.message}`);
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
