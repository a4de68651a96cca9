// Drawing: the square grey image that the model received, and over it the evidence for pneumonia.

// Inferno, five stops (Stefan van der Walt, Nathaniel Smith; CC0), as export/inference/outputs.py colours overlays.
const COLOURS = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
const STRENGTH = 0.6;

/** Draw pixels (Uint8Array [side * side]) and, if `heat` is given, its positive part onto a canvas. */
export function draw(canvas, pixels, side, heat) {
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d"), picture = context.createImageData(side, side);
  const evidence = heat ? enlarge(heat, side) : null;
  let peak = 1;  // weak evidence stays pale: full colour needs a logit of 1 or more
  if (evidence) for (const value of evidence) peak = Math.max(peak, value);
  for (let i = 0; i < side * side; i++) {
    const part = evidence ? Math.max(evidence[i], 0) / peak : 0, colour = inferno(part), weight = STRENGTH * part;
    for (let k = 0; k < 3; k++) picture.data[4 * i + k] = pixels[i] * (1 - weight) + colour[k] * weight;
    picture.data[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

function inferno(part) {
  const place = Math.min(part, 1) * (COLOURS.length - 1), low = Math.min(Math.floor(place), COLOURS.length - 2);
  return COLOURS[low].map((level, k) => level + (COLOURS[low + 1][k] - level) * (place - low));
}

/** Bilinear, between the centres of the map's cells. */
function enlarge({ data, height, width }, side) {
  const result = new Float32Array(side * side);
  const place = (i, cells) => {
    const centre = Math.min(Math.max(((i + 0.5) * cells) / side - 0.5, 0), cells - 1), low = Math.min(Math.floor(centre), Math.max(cells - 2, 0));
    return [low, Math.min(low + 1, cells - 1), centre - low];
  };
  for (let y = 0; y < side; y++) {
    const [top, bottom, down] = place(y, height);
    for (let x = 0; x < side; x++) {
      const [left, right, along] = place(x, width);
      const upper = data[top * width + left] * (1 - along) + data[top * width + right] * along;
      const lower = data[bottom * width + left] * (1 - along) + data[bottom * width + right] * along;
      result[y * side + x] = upper * (1 - down) + lower * down;
    }
  }
  return result;
}
