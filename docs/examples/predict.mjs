// Answers X-rays with onnxruntime-web and sharp (npm install onnxruntime-web sharp): node predict.mjs MODEL.any_size.onnx IMAGE...
import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-web";
import sharp from "sharp";

const [model, ...paths] = process.argv.slice(2);
const session = await ort.InferenceSession.create(new Uint8Array(await readFile(model)));
for (const path of paths) {
  const { data, info } = await sharp(path).toColourspace("srgb").removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const { format } = await sharp(path).metadata();
  const image = new ort.Tensor("uint8", new Uint8Array(data), [1, info.height, info.width, info.channels]);
  const { probability } = await session.run({ image, jpeg: new ort.Tensor("bool", [format === "jpeg"], [1]) });
  console.log(probability.data[0].toFixed(6), path);
}
