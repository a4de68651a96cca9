// The model: one onnxruntime session that predicts batches of square grey images. The caller passes onnxruntime-web as
// `ort`, so that the page and Node can use the same module.

import { readMetadata } from "./metadata.mjs";

export class Classifier {
  /** @param ort onnxruntime-web; @param model the .onnx file as Uint8Array. */
  static async create(ort, model) {
    const metadata = readMetadata(model);
    const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
    return new Classifier(ort, session, metadata);
  }

  constructor(ort, session, metadata) {
    Object.assign(this, { ort, session, metadata });
  }

  /** Predict n square grey images (Uint8Array [n * S * S]): [{probability, heatmap: {data, height, width} or null}]. */
  async predict(pixels) {
    const side = this.metadata.imageSize, count = pixels.length / (side * side);
    if (!(pixels instanceof Uint8Array) || !Number.isInteger(count) || count < 1)
      throw new Error(`The model needs a Uint8Array of ${side} x ${side} bytes per image.`);
    const feeds = { image: new this.ort.Tensor("uint8", pixels, [count, side, side, 1]) };
    const { probability, heatmap } = await this.session.run(feeds);
    return Array.from({ length: count }, (_, i) => {
      if (!heatmap) return { probability: probability.data[i], heatmap: null };
      const [, height, width] = heatmap.dims, size = height * width;
      return { probability: probability.data[i], heatmap: { data: heatmap.data.slice(i * size, (i + 1) * size), height, width } };
    });
  }

  /** Return the class that a probability belongs to at a threshold. */
  decide(probability, threshold = this.metadata.threshold) {
    return this.metadata.classes[Number(probability >= threshold)];
  }
}
