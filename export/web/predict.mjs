// An example of an exported model in Node: node predict.mjs MODEL.onnx GOLDEN.npz
// Predicts the golden images and compares the probabilities with Keras. Other square grey images work the same way.
import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-web";
import { Classifier } from "./page/classifier.mjs";
import { goldenCheck } from "./page/golden.mjs";
import { readNpz } from "./page/npz.mjs";

const [model, golden] = process.argv.slice(2);
if (!golden) {
  console.error("usage: node predict.mjs MODEL.onnx GOLDEN.npz");
  process.exit(2);
}
ort.env.wasm.numThreads = 1;
const classifier = await Classifier.create(ort, new Uint8Array(await readFile(model)));
const { buffer, byteOffset, byteLength } = await readFile(golden);
const arrays = await readNpz(buffer.slice(byteOffset, byteOffset + byteLength));
const answers = await classifier.predict(arrays.images.data);
answers.forEach(({ probability }, i) => console.log(probability.toFixed(6), classifier.decide(probability), arrays.names.data[i]));
const { tensors } = await goldenCheck(classifier, arrays, null);
console.log(`${tensors.passed ? "agrees with Keras" : "DIFFERS from Keras"}: largest difference of a probability ${tensors.worst.toExponential(2)}`);
process.exitCode = tensors.passed ? 0 : 1;
