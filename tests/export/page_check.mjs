// Runs the page's pixel code in Node: node page_check.mjs < CASES.json. Each case is one of
//   {frame: {grey, width, height, format}, side, framing} -> the square, base64
//   {over: {data, height, width}, width, height, framing} -> the heat map over the picture, numbers
//   {filler: grey levels in base64, width} -> whether the picture ends in filler
//   {judged: {grey, width, height, format}} -> {mask, reasons} of a picture, its grey levels in base64
//   {probability, familiarity, unfit, limits: [low, high, familiarity]} -> {decision, reasons}
//   {golden: [probability, familiarity, decision], found: [probability, familiarity], tolerance, limits} -> how many answers of the golden check are others
//   {viral} -> BACTERIA or VIRUS, of a pneumonia with this P(VIRUS)
//   {rgba: bytes in base64, width, height, side} -> why the picture is not for a model of this side
//   {stored: a PNG in base64} -> {data: its colours as stored, RGBA in base64, width, height}
//   {outputs: {probability, familiarity, subtype}} -> what is wrong with these values of a model, or the empty text
//   {props: an ONNX file in base64} -> why its metadata are refused, or the empty text
//   {header: bytes in base64} -> {format, width, height, alpha} or {refused}
import { readFileSync } from "node:fs";
import { Classifier } from "../../export/web/page/classifier.mjs";
import { decide } from "../../export/web/page/decision.mjs";
import { RefusedFile, readHeader } from "../../export/web/page/headers.mjs";
import { goldenCheck } from "../../export/web/page/golden.mjs";
import { overPicture } from "../../export/web/page/heat.mjs";
import { hasTwoLevels } from "../../export/web/page/exposure.mjs";
import { readMetadata } from "../../export/web/page/metadata.mjs";
import { storedPixels } from "../../export/web/page/png.mjs";
import { colouredPart, endsInFiller, frame, remarksOn, unfitFor } from "../../export/web/page/pixels.mjs";

function tried(action) {
  try {
    return action();
  } catch (error) {
    return error.message;
  }
}

const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const answers = await Promise.all(JSON.parse(readFileSync(0, "utf-8")).map(async (each) => {
  if (each.frame) return Buffer.from(frame({ ...each.frame, grey: bytes(each.frame.grey) }, each.side, each.framing)).toString("base64");
  if (each.over) return [...overPicture(each.over, each.width, each.height, each.framing)];
  if (each.golden) {
    const [low, high, least] = each.limits, [probability, familiarity, decision] = each.golden.map((value) => ({ data: [value] }));
    const arrays = { images: { shape: [1, 1], data: [0] }, names: { data: ["one"] }, probability, familiarity, decision };
    const metadata = { imageSize: 1, goldenTolerance: each.tolerance, limits: { low, high, familiarity: least } };
    const predict = async () => [{ probability: each.found[0], familiarity: each.found[1] }];
    return (await goldenCheck({ metadata, predict }, arrays, null)).decisions;
  }
  if (each.limits) {
    const [low, high, familiarity] = each.limits;
    return tried(() => decide({ low, high, familiarity }, Number(each.probability), each.familiarity, each.unfit));
  }
  if (each.stored) {
    const found = ({ data, width, height }) => ({ data: Buffer.from(data).toString("base64"), width, height });
    return storedPixels(bytes(each.stored)).then(found, (error) => error.message);
  }
  if (each.outputs) {
    const run = async () => Object.fromEntries(Object.entries(each.outputs).map(([name, value]) => [name, { data: [Number(value)] }]));
    return new Classifier({ Tensor: class {} }, { run }, { imageSize: 1 }).predict(new Uint8Array(1)).then(() => "", (error) => error.message);
  }
  if (each.props) return tried(() => (readMetadata(bytes(each.props)), ""));
  if ("viral" in each) {
    const metadata = { classes: ["NORMAL", "PNEUMONIA"], subtypes: ["BACTERIA", "VIRUS"] };
    return new Classifier(null, null, metadata).subtype(each, "PNEUMONIA").name;
  }
  if (each.rgba) return unfitFor({ ...each, coloured: colouredPart({ ...each, data: bytes(each.rgba) }, "PNG") }, each.side);
  if (each.filler) return endsInFiller(bytes(each.filler), each.width);
  if (each.judged) {
    const picture = { ...each.judged, grey: bytes(each.judged.grey) };
    return { mask: hasTwoLevels(picture), reasons: remarksOn(picture, picture.grey) };
  }
  try {
    return readHeader(bytes(each.header));
  } catch (error) {
    if (!(error instanceof RefusedFile)) throw error;
    return { refused: error.message };
  }
}));
console.log(JSON.stringify(answers));
