// An exported model in Node: node predict.mjs MODEL.onnx GOLDEN.npz
// Answers the golden tensors and compares with Keras; in place of them, give any grey squares of the model's size.
import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-web";
import { Classifier } from "./page/classifier.mjs";
import { goldenCheck } from "./page/golden.mjs";
import { readNpz } from "./page/npz.mjs";

const [model, golden] = process.argv.slice(2);
ort.env.wasm.numThreads = 1;
const classifier = await Classifier.create(ort, new Uint8Array(await readFile(model)));
const { buffer, byteOffset, byteLength } = await readFile(golden);
const arrays = await readNpz(buffer.slice(byteOffset, byteOffset + byteLength));
const answers = await classifier.predict(arrays.images.data);
answers.forEach(({ probability }, i) => console.log(probability.toFixed(6), classifier.decide(probability), arrays.names.data[i]));
const { tensors } = await goldenCheck(classifier, arrays, null);
console.log(`max |Δp| ${tensors.worst.toExponential(2)}: ${tensors.passed ? "agrees with Keras" : "DIFFERS from Keras"}`);
process.exitCode = tensors.passed ? 0 : 1;
