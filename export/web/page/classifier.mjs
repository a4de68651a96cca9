// The model behind the page: one session, answers to batches of grey squares. `ort` is onnxruntime-web, given by the
// caller, so that the same module serves the page and Node.

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

  /** Answer n grey squares (Uint8Array [n * S * S]): [{probability, heatmap: {data, height, width} or null}]. */
  async predict(pixels) {
    const side = this.metadata.imageSize, count = pixels.length / (side * side);
    if (!(pixels instanceof Uint8Array) || !Number.isInteger(count) || count < 1)
      throw new Error(`The model takes bytes, ${side} x ${side} for each image.`);
    const feeds = { image: new this.ort.Tensor("uint8", pixels, [count, side, side, 1]) };
    const { probability, heatmap } = await this.session.run(feeds);
    return Array.from({ length: count }, (_, i) => {
      if (!heatmap) return { probability: probability.data[i], heatmap: null };
      const [, height, width] = heatmap.dims, size = height * width;
      return { probability: probability.data[i], heatmap: { data: heatmap.data.slice(i * size, (i + 1) * size), height, width } };
    });
  }

  /** The class a probability means at a threshold. */
  decide(probability, threshold = this.metadata.threshold) {
    return this.metadata.classes[Number(probability >= threshold)];
  }
}
