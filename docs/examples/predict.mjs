// Answers X-rays with onnxruntime-web and sharp (npm install onnxruntime-web sharp): node predict.mjs MODEL.any_size.onnx IMAGE...
import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-web";
import sharp from "sharp";

const [model, ...paths] = process.argv.slice(2);
const session = await ort.InferenceSession.create(new Uint8Array(await readFile(model)));
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
  const { probability } = await session.run({ image, jpeg: new ort.Tensor("bool", [format === "jpeg"], [1]) });
  console.log(probability.data[0].toFixed(6), path);
}
