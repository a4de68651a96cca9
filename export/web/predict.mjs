// An example of an exported model in Node: node predict.mjs MODEL.onnx GOLDEN.npz [--two-way]
// Predicts the golden images and compares the answers with Keras. Other square grey images work the same way.
import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-web";
import { Classifier } from "./page/classifier.mjs";
import { goldenCheck } from "./page/golden.mjs";
import { readNpz } from "./page/npz.mjs";

const words = process.argv.slice(2), twoWay = words.includes("--two-way"), [model, golden] = words.filter((word) => word !== "--two-way");
if (!golden) {
  console.error("usage: node predict.mjs MODEL.onnx GOLDEN.npz [--two-way]");
  process.exit(2);
}
ort.env.wasm.numThreads = 1;
const classifier = await Classifier.create(ort, new Uint8Array(await readFile(model)));
const { buffer, byteOffset, byteLength } = await readFile(golden);
const arrays = await readNpz(buffer.slice(byteOffset, byteOffset + byteLength));
const answers = await classifier.predict(arrays.images.data);
answers.forEach((found, i) => {
  const { decision, reasons } = classifier.decide(found, { twoWay });
  console.log(found.probability.toFixed(6), decision, arrays.names.data[i], reasons.length ? `(${reasons.join("; ")})` : "");
});
const { tensors, decisions } = await goldenCheck(classifier, arrays, null);
console.log(`${tensors.passed ? "agrees with Keras" : "DIFFERS from Keras"}: largest difference of a probability ${tensors.worst.toExponential(2)}, ${decisions} other answers`);
process.exitCode = tensors.passed ? 0 : 1;
