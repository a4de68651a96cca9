// How a picture of any aspect ratio becomes a square, as pneumo_tfds/decode/framing.py does it, in integers.

export const FRAMINGS = ["squeeze", "crop", "pad"];

/** The part of a picture that the square shows: all of it, or for crop the centred square. */
export function sourceBox(width, height, framing) {
  if (framing !== "crop") return { left: 0, top: 0, width, height };
  const side = Math.min(width, height);
  return { left: Math.floor((width - side) / 2), top: Math.floor((height - side) / 2), width: side, height: side };
}

/** Where in a square of `side` that part lies: everywhere, or for pad in a centred rectangle. */
export function targetBox(width, height, side, framing) {
  if (framing !== "pad") return { left: 0, top: 0, width: side, height: side };
  const longer = Math.max(width, height);
  const [across, down] = [width, height].map((each) => Math.max(1, Math.floor((2 * each * side + longer) / (2 * longer))));
  return { left: Math.floor((side - across) / 2), top: Math.floor((side - down) / 2), width: across, height: down };
}

/** The side of a picture that must not become shorter than the square, or detail would be lost. */
export function coveringSide(width, height, framing) {
  return framing === "pad" ? Math.max(width, height) : Math.min(width, height);
}
