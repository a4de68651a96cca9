// The model: one onnxruntime session that predicts batches of square grey images. The caller passes onnxruntime-web as
// `ort`, so that the page and Node can use the same module.

import { VIRUS_FROM, decide, isShare } from "./decision.mjs";
import { checkDigest, readMetadata } from "./metadata.mjs";

const ROUNDING = 1e-6;  // by which a familiarity may lie outside 0 to 1, as in export/inference/classifier.py

export class Classifier {
  /** @param ort onnxruntime-web; @param model the .onnx file as Uint8Array. */
  static async create(ort, model) {
    await checkDigest(model);
    const metadata = readMetadata(model);
    const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
    if (session.inputNames.includes("jpeg")) throw new Error("The model takes pictures of any size; give the file model.onnx beside it.");
    if (metadata.limits.familiarity !== null && !session.outputNames.includes("familiarity")) throw new Error("The model lacks the output familiarity; export its run again.");
    if (metadata.subtypes && !session.outputNames.includes("subtype")) throw new Error("The model lacks the output subtype; export its run again.");
    return new Classifier(ort, session, metadata);
  }

  constructor(ort, session, metadata) {
    Object.assign(this, { ort, session, metadata });
  }

  /** Predict n square grey images (Uint8Array [n * S * S]): [{probability, familiarity or null,
   * viral: P(VIRUS) of a pneumonia or null, heatmap: {data, height, width} or null}]. Throws for outputs outside 0 to 1. */
  async predict(pixels) {
    const side = this.metadata.imageSize, count = pixels.length / (side * side);
    if (!(pixels instanceof Uint8Array) || !Number.isInteger(count) || count < 1)
      throw new Error(`The model needs a Uint8Array of ${side} x ${side} bytes per image.`);
    const feeds = { image: new this.ort.Tensor("uint8", pixels, [count, side, side, 1]) };
    const { probability, familiarity, subtype, heatmap } = await this.session.run(feeds);
    if (![probability, subtype].every((output) => !output || isEachShare(output, count))) throw new Error("The model gives values that are not probabilities; export its run again.");
    if (familiarity && !isEachShare(familiarity, count, ROUNDING)) throw new Error("The model gives values that are not familiarities; export its run again.");
    return Array.from({ length: count }, (_, i) => {
      const found = { probability: probability.data[i], familiarity: familiarity ? familiarity.data[i] : null, viral: subtype ? subtype.data[i] : null, heatmap: null };
      if (!heatmap) return found;
      const [, height, width] = heatmap.dims, size = height * width;
      return { ...found, heatmap: { data: heatmap.data.slice(i * size, (i + 1) * size), height, width } };
    });
  }

  /**
   * Return {decision, reasons} for what `predict` found and what the file says against itself (`unfitFor` in pixels.mjs).
   * In two ways, or from a file that knows two answers, the threshold alone decides; the reasons stay.
   */
  decide({ probability, familiarity, unfit }, { twoWay = false, threshold = this.metadata.threshold } = {}) {
    const answer = decide(this.metadata.limits, probability, familiarity, unfit);
    if (!twoWay && this.metadata.fourWay) return answer;
    return { ...answer, decision: this.metadata.classes[Number(probability >= threshold)] };
  }

  /** Return {name, probability} of the likelier kind of pneumonia, or null unless that is the decision and the model tells. */
  subtype({ viral }, decision) {
    if (!this.metadata.subtypes || decision !== this.metadata.classes[1]) return null;
    return { name: this.metadata.subtypes[Number(viral >= VIRUS_FROM)], probability: Math.max(viral, 1 - viral) };
  }
}

/** Whether an output has `count` values, each in 0 to 1 but for `rounding`. */
function isEachShare({ data }, count, rounding = 0) {
  return data.length === count && data.every((value) => isShare(value, rounding));
}
