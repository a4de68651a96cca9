// The page: a card with the result for each file. All work happens here; the server only sends this page and the model.

import * as ort from "./ort/ort.wasm.min.mjs";
import { Classifier } from "./classifier.mjs";
import { UNCERTAIN, UNSUITABLE } from "./decision.mjs";
import { goldenCheck } from "./golden.mjs";
import { draw } from "./heat.mjs";
import { readNpz } from "./npz.mjs";
import { decodeFile, frame, readPicture, remarksOn, unfitFor, within } from "./pixels.mjs";

const MAX_THREADS = 4;
const SHOWN_SIDE = 512;  // pixels, the longer side of a picture on its card
const at = (id) => document.getElementById(id);
const percent = (part) => `${(100 * part).toFixed(1)} %`;

let classifier;
const results = [];  // {name, card, picture, probability, familiarity, unfit, remarks, heatmap} or {name, card, error}

function say(text) {
  at("status").textContent = text;
}

async function bytesOf(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address} could not be loaded (${response.status}).`);
  return new Uint8Array(await response.arrayBuffer());
}

async function start() {
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  ort.env.wasm.numThreads = crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1) : 1;
  const model = await bytesOf("model.onnx");
  classifier = await Classifier.create(ort, model);
  const { metadata } = classifier;
  at("use").textContent = `For ${metadata.intendedUse}.`;
  const { low, high } = metadata.limits, [negative, positive] = metadata.classes;
  const between = low < high ? `, ${UNCERTAIN} between` : "";
  at("rule").textContent = metadata.fourWay
    ? `${negative} below ${low}, ${positive} from ${high} on${between}; ${UNSUITABLE} for what does not look like the X-rays that the model learned from. Guarantee: ${metadata.guarantee}. With two answers, the threshold alone decides; the model’s own is ${metadata.threshold}, by ${metadata.thresholdRule}.`
    : `The model’s threshold is ${metadata.threshold}, from the rule ${metadata.thresholdRule}. At or above it, the decision is ${positive}.`;
  at("two-way-choice").hidden = !metadata.fourWay;
  const auroc = metadata.metrics.test?.auroc ?? metadata.metrics.validation?.auroc;
  at("about").textContent = `Trained on ${metadata.dataset} at ${metadata.imageSize} × ${metadata.imageSize} pixels` +
    (auroc === undefined ? "." : `; AUROC ${auroc.toFixed(3)} on its ${metadata.metrics.test ? "test" : "validation"} images.`) + ` The file of ${(model.length / 1e6).toFixed(1)} MB is run by onnxruntime-web.`;
  if (metadata.framing === "crop") at("legend").append(" The model did not see what is darkened at the sides.");
  at("threshold").value = metadata.threshold;
  for (const id of ["files", "threshold", "reset", "two-way", "heat", "golden"]) at(id).disabled = false;
  showThreshold();
  say("Ready. Choose X-rays.");
}

let ownThreshold = null; // the user's, once the slider was moved; its steps are too coarse for the model's
const threshold = () => ownThreshold ?? classifier.metadata.threshold;
function answerTo(result) {
  const { decision, reasons } = classifier.decide(result, { twoWay: at("two-way").checked, threshold: threshold() });
  return { decision, reasons: [...reasons, ...result.remarks] };
}

function showThreshold() {
  at("threshold-value").textContent = threshold();
  for (const result of results) {
    showDecision(result);
    paint(result);
  }
  if (results.length) tell();
}

/** Show the decision by the current rule on a card, with its reasons. */
function showDecision(result) {
  const { name, card, probability } = result;
  if (probability === undefined) return;
  const [negative, positive] = classifier.metadata.classes, { decision, reasons } = answerTo(result);
  for (const answer of [positive, negative, UNCERTAIN, UNSUITABLE]) card.classList.toggle(answer.toLowerCase(), decision === answer);
  const subtype = classifier.subtype(result, decision);
  const kind = subtype ? `; ${subtype.name} ${percent(subtype.probability)}, for research only` : "";
  const number = decision === UNSUITABLE ? "No answer for this image" : `${percent(probability)} probability of pneumonia${kind}`;
  card.querySelector(".decision").textContent = decision;
  card.querySelector(".number").textContent = number;
  card.querySelector(".reasons").textContent = reasons.join("; ");
  card.querySelector("canvas").setAttribute("aria-label", `${name}: ${decision}, ${decision === UNSUITABLE ? reasons.join("; ") : `probability ${percent(probability)}`}`);
}

/** Draw a card's picture, with its heat map if that is asked for and means anything. */
function paint(result) {
  if (!result.picture) return;
  const shown = at("heat").checked && answerTo(result).decision !== UNSUITABLE;
  draw(result.card.querySelector("canvas"), result.picture, shown ? result.heatmap : null, classifier.metadata.framing);
}

/** Predict files one after another, each with its own card; the rest go on if one cannot be read. */
async function predict(files) {
  for (const [number, file] of [...files].entries()) {
    say(`Reading ${number + 1} of ${files.length} …`);
    const card = at("card").content.firstElementChild.cloneNode(true), result = { name: file.name, card };
    card.querySelector("h3").textContent = file.name;
    at("results").append(card);
    results.push(result);
    try {
      const picture = await readPicture(file), { imageSize, framing } = classifier.metadata;
      const square = frame(picture, imageSize, framing), [found] = await classifier.predict(square);
      Object.assign(result, found, { unfit: unfitFor(picture, imageSize), remarks: remarksOn(picture, square) });
      result.picture = within(picture, SHOWN_SIDE);
      card.dataset.probability = result.probability;
      card.querySelector("meter").value = result.probability;
      card.querySelector("meter").setAttribute("aria-label", "Probability of pneumonia");
      showDecision(result);
      paint(result);
      at("legend").hidden = !result.heatmap;
    } catch (error) {
      result.error = error.message;
      card.classList.add("failed");
      card.querySelector(".decision").textContent = "Not read";
      card.querySelector(".number").textContent = error.message;
    }
  }
  tell();
  for (const id of ["save", "clear"]) at(id).disabled = results.length === 0;
}

/** Say how many images got which answer by the current rule, and how many could not be read. */
function tell() {
  const failed = results.filter((result) => result.error).length;
  const read = results.filter((result) => result.probability !== undefined);
  const decisions = read.map((result) => answerTo(result).decision);
  const possible = [...classifier.metadata.classes].reverse().concat(classifier.metadata.fourWay && !at("two-way").checked ? [UNCERTAIN, UNSUITABLE] : []);
  const counts = possible.map((answer) => `${decisions.filter((decision) => decision === answer).length} ${answer}`).join(", ");
  say(`${read.length} ${read.length === 1 ? "image" : "images"}: ${counts}` +
    (failed ? `; ${failed} could not be read.` : "."));
}

let queue = Promise.resolve();
function enqueue(files) {
  if (!classifier || !files.length) return;
  queue = queue.then(() => predict(files)).catch((error) => say(error.message));
}

async function check() {
  const result = at("golden-result");
  result.textContent = "Checking …";
  try {
    const arrays = await readNpz((await bytesOf("golden.npz")).buffer);
    const { tensors, files, decisions, refused, levels } = await goldenCheck(classifier, arrays, decodeFile);
    result.textContent = `Golden check ${tensors.passed && files.passed ? "passed" : "FAILED"}: ` +
      `the largest difference of a probability from Keras is ${tensors.worst.toExponential(1)} on ${tensors.count} stored images (${decisions} other answers), ` +
      `and ${files.worst.toExponential(1)} on ${files.count} files decoded by this browser (largest difference of a pixel: ${levels} of 255)` +
      (refused ? `; ${refused} of a kind that browsers read differently ${refused === 1 ? "was" : "were"} left out.` : ".");
    Object.assign(result.dataset, { tensors: tensors.worst, files: files.worst, levels });
  } catch (error) {
    result.textContent = `The golden check could not be run: ${error.message}`;
  }
}

function save() {
  const quote = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const told = classifier.metadata.subtypes ? ",subtype,subtype_probability" : "";
  const lines = results.map((result) => {
    if (result.probability === undefined) return [quote(result.name), "", "", "", "", "", quote(result.error), ...told ? ["", ""] : []].join(",");
    const { decision, reasons } = answerTo(result), subtype = classifier.subtype(result, decision);
    const kind = told ? [subtype?.name ?? "", subtype?.probability ?? ""] : [];
    return [quote(result.name), result.probability, decision, threshold(), result.familiarity ?? "", quote(reasons.join("; ")), "", ...kind].join(",");
  });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`file,probability,decision,threshold,familiarity,reasons,error${told}\n`, lines.join("\n"), "\n"], { type: "text/csv" }));
  link.download = "predictions.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

at("files").addEventListener("change", ({ target }) => { enqueue([...target.files]); target.value = ""; });
// A threshold of one's own means two answers.
at("threshold").addEventListener("input", ({ target }) => { ownThreshold = target.valueAsNumber; at("two-way").checked = true; showThreshold(); });
at("two-way").addEventListener("change", showThreshold);
at("reset").addEventListener("click", () => { ownThreshold = null; at("threshold").value = classifier.metadata.threshold; at("two-way").checked = false; showThreshold(); });
at("heat").addEventListener("change", () => results.forEach(paint));
at("golden").addEventListener("click", () => { queue = queue.then(check); });
at("save").addEventListener("click", save);
at("clear").addEventListener("click", () => {
  results.length = 0;
  at("results").replaceChildren();
  at("save").disabled = at("clear").disabled = at("legend").hidden = true;
  say("Ready. Choose X-rays.");
});
for (const kind of ["dragover", "dragleave", "drop"])
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") enqueue([...event.dataTransfer.files]);
  });

start().catch((error) => say(`The model could not be loaded: ${error.message}`));
