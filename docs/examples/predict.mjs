// Answers X-rays with onnxruntime-web and sharp (npm install onnxruntime-web sharp): node predict.mjs MODEL.any_size.onnx IMAGE...
import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-web";
import sharp from "sharp";
import { lineOf, metadataOf } from "./answer.mjs";

const [file, ...paths] = process.argv.slice(2);
const model = new Uint8Array(await readFile(file)), metadata = metadataOf(model);
const session = await ort.InferenceSession.create(model);
for (const path of paths) {
  const picture = sharp(path, { failOn: "warning", ignoreIcc: true });  // damage is an error; an ICC profile would change the greys
  const { format, depth } = await picture.metadata();
  if (depth === "ushort") {
    console.error(`${path} has 16 bits, which sharp cuts to 8 in another way than training; make it 8 bits first`);
    process.exit(1);
  }
  const upright = picture.autoOrient().flatten({ background: "black" }).toColourspace("srgb");
  const { data, info } = await upright.raw().toBuffer({ resolveWithObject: true });
  const image = new ort.Tensor("uint8", new Uint8Array(data), [1, info.height, info.width, info.channels]);
  const outputs = await session.run({ image, jpeg: new ort.Tensor("bool", [format === "jpeg"], [1]) });
  console.log(lineOf(metadata, outputs, info.width, info.height, path));
}
