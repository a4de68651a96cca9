// Drawing: the picture as it lies in the file, and over it the evidence for pneumonia, in the place that the model saw.

import { sourceBox, targetBox } from "./framing.mjs";

// Inferno, five stops (Stefan van der Walt, Nathaniel Smith; CC0), as export/inference/outputs.py colours overlays.
const COLOURS = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
const STRENGTH = 0.6;
const UNSEEN = 0.5;  // brightness of what crop cut off

/** Draw a picture and, if `heat` is given, its positive part onto a canvas; darken what the model did not see. */
export function draw(canvas, { grey, width, height }, heat, framing) {
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  const seen = sourceBox(width, height, framing), evidence = heat ? overPicture(heat, width, height, framing) : null;
  let peak = 1;  // weak evidence stays pale: full colour needs a logit of 1 or more
  if (evidence) for (const value of evidence) peak = Math.max(peak, value);
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      const inside = x >= seen.left && x < seen.left + seen.width && y >= seen.top && y < seen.top + seen.height;
      const part = evidence ? Math.max(evidence[i], 0) / peak : 0, colour = inferno(part), weight = STRENGTH * part;
      for (let k = 0; k < 3; k++) image.data[4 * i + k] = grey[i] * (inside ? 1 : UNSEEN) * (1 - weight) + colour[k] * weight;
      image.data[4 * i + 3] = 255;
    }
  context.putImageData(image, 0, 0);
}

/** The heat map of the model's square as it lies over the picture, Float32Array [height * width]; 0 where crop cut. */
export function overPicture(heat, width, height, framing) {
  const result = new Float32Array(width * height), place = squareOver(width, height, framing);
  const rows = reach(heat.height, place.height), columns = reach(heat.width, place.width);
  const top = Math.max(0, place.top), left = Math.max(0, place.left);
  const bottom = Math.min(height, place.top + place.height), right = Math.min(width, place.left + place.width);
  for (let y = top; y < bottom; y++) {
    const [above, below, down] = rows[y - place.top];
    for (let x = left; x < right; x++) {
      const [before, after, along] = columns[x - place.left], { data } = heat;
      const upper = data[above * heat.width + before] * (1 - along) + data[above * heat.width + after] * along;
      const lower = data[below * heat.width + before] * (1 - along) + data[below * heat.width + after] * along;
      result[y * width + x] = upper * (1 - down) + lower * down;
    }
  }
  return result;
}

/** The square that the model saw, in pixels of the picture; with pad it reaches beyond the picture. */
function squareOver(width, height, framing) {
  if (framing !== "pad") return sourceBox(width, height, framing);
  const longer = Math.max(width, height), { left, top } = targetBox(width, height, longer, "pad");
  return { left: -left, top: -top, width: longer, height: longer };
}

/** For each of `length` places across `cells`: the two cells whose centres it lies between, and how far along. */
function reach(cells, length) {
  return Array.from({ length }, (_, i) => {
    const centre = Math.min(Math.max(((i + 0.5) * cells) / length - 0.5, 0), cells - 1), low = Math.min(Math.floor(centre), Math.max(cells - 2, 0));
    return [low, Math.min(low + 1, cells - 1), centre - low];
  });
}

function inferno(part) {
  const place = Math.min(part, 1) * (COLOURS.length - 1), low = Math.min(Math.floor(place), COLOURS.length - 2);
  return COLOURS[low].map((level, k) => level + (COLOURS[low + 1][k] - level) * (place - low));
}
