// The rule that makes one of four answers of a model's outputs. export/inference/decision.py is the same rule, and
// tests/export/decisions.json holds what both must answer.

export const UNCERTAIN = "UNCERTAIN", UNSUITABLE = "UNSUITABLE";
export const VIRUS_FROM = 0.5;  // P(VIRUS) from which a pneumonia is called viral, as in pneumo_tfds/sources/inventory.py

/** Whether a value is a number in 0 to 1, but for `rounding`; NaN is not. */
export const isShare = (value, rounding = 0) => -rounding <= value && value <= 1 + rounding;

const short = (value) => String(Number(value.toPrecision(4)));

/**
 * @param limits {low, high, familiarity}: NORMAL below low, PNEUMONIA from high on, UNSUITABLE below familiarity (or null).
 * @param familiarity 0 to 1, or null if the model does not say; @param unfit what the file says against itself.
 * @returns {decision, reasons}: NORMAL, PNEUMONIA, UNCERTAIN or UNSUITABLE, with the reasons for the last two.
 * Throws an Error with one sentence for a probability that is not in 0 to 1.
 */
export function decide({ low, high, familiarity: needed }, probability, familiarity = null, unfit = []) {
  if (!isShare(probability)) throw new Error(`The model gives the probability ${probability}, which is not in 0 to 1; export its run again.`);
  const reasons = [...unfit];
  if (needed !== null && familiarity !== null && familiarity < needed)
    reasons.unshift(`it does not look like the X-rays that the model learned from: its familiarity is ${familiarity.toFixed(4)}, and ${short(needed)} the least`);
  if (reasons.length) return { decision: UNSUITABLE, reasons };
  if (low <= probability && probability < high)
    return { decision: UNCERTAIN, reasons: [`between the limits ${short(low)} and ${short(high)} for a certain answer`] };
  return { decision: probability >= high ? "PNEUMONIA" : "NORMAL", reasons };
}

/** Whether values are so close to a limit that a difference of `tolerance`, or `familiarityTolerance`, may change the answer. */
export function near({ low, high, familiarity: needed }, probability, familiarity, tolerance, familiarityTolerance) {
  if ([low, high].some((limit) => Math.abs(probability - limit) <= tolerance)) return true;
  return needed !== null && familiarity !== null && Math.abs(familiarity - needed) <= familiarityTolerance;
}
