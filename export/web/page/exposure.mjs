// What pneumo_tfds/decode/exposure.py and masks.py say of the grey levels of a picture, with the same numbers.

const DARK = 85, BRIGHT = 195, FLAT = 50, FEW = 32;  // of exposure.py
const LEVEL = 10, APART = 64, TWO_LEVELS = 0.97, RARE = 0.002, FEWEST = 256, GLANCE = 32, LOOK = 256;  // of masks.py

/** Count the pixels of each grey level. */
function histogram(grey) {
  const counts = new Array(256).fill(0);
  for (const level of grey) counts[level]++;
  return counts;
}

/** Every so many rows and columns of a picture, of which at least `side` remain. */
function sample({ grey, width, height }, side) {
  const down = Math.max(1, Math.floor(height / side)), across = Math.max(1, Math.floor(width / side)), taken = [];
  for (let y = 0; y < height; y += down) for (let x = 0; x < width; x += across) taken.push(grey[y * width + x]);
  return taken;
}

/** Whether a picture has only two grey levels, apart from what JPEG adds: it is a mask or a scanned page. */
export function hasTwoLevels(picture) {
  const { grey } = picture;
  if (grey.length < FEWEST) return false;
  let low = 255, high = 0;
  for (const level of grey) { if (level < low) low = level; if (level > high) high = level; }
  const quarter = Math.floor((high - low) / 4), glance = sample(picture, GLANCE);
  if (glance.filter((level) => level > low + quarter && level < high - quarter).length > 0.15 * glance.length) return false;
  const looked = sample(picture, LOOK), counts = histogram(looked), levels = counts.filter((count) => count > 0);
  if (levels.length < 2) return false;
  if (levels.length === 2) return Math.min(...levels) >= RARE * looked.length;
  const around = counts.map((_, i) => counts.slice(Math.max(0, i - LEVEL), i + LEVEL + 1).reduce((sum, count) => sum + count, 0));
  const most = Math.max(...around), first = around.indexOf(most);
  const second = Math.max(0, ...around.filter((_, i) => Math.abs(i - first) > APART));
  return most + second >= TWO_LEVELS * looked.length && second >= RARE * looked.length;
}

/** What is unusual about the grey levels of a picture, or an empty text. */
export function exposureRemark(grey) {
  const counts = histogram(grey), below = [];
  for (let level = 0, sum = 0; level < 256; level++) below.push(sum += counts[level]);
  const percentile = (share) => below.findIndex((sum) => sum >= (share / 100) * grey.length), dark = percentile(5), bright = percentile(95);
  if (bright < DARK) return `unusually dark: 95 % of its pixels are below ${bright + 1} of 255`;
  if (dark > BRIGHT) return `unusually bright: 95 % of its pixels are above ${dark - 1} of 255`;
  if (bright - dark < FLAT) return `unusually flat: 90 % of its pixels are between ${dark} and ${bright} of 255`;
  return "";
}

/** That a picture has unusually few grey levels, or an empty text. */
export function levelsRemark(grey) {
  const levels = histogram(grey).filter((count) => count > 0).length;
  return levels < FEW ? `only ${levels} different grey levels` : "";
}
