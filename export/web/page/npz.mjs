// Reader of NumPy's .npz, a zip of .npy arrays; enough of both formats for golden.npz, in a browser or in Node.

const END_OF_DIRECTORY = 0x06054b50, DIRECTORY_ENTRY = 0x02014b50;
const STORED = 0, DEFLATED = 8;
const TYPES = { "|u1": Uint8Array, "<f4": Float32Array, "<f8": Float64Array, "<i4": Int32Array };

/** Return {shape, data} of every array in an .npz (ArrayBuffer) by name; the data of a text array are strings. */
export async function readNpz(buffer) {
  const view = new DataView(buffer), arrays = {};
  let end = buffer.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== END_OF_DIRECTORY) end--;
  if (end < 0) throw new Error("golden.npz is not a zip file");
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    if (view.getUint32(at, true) !== DIRECTORY_ENTRY) throw new Error("golden.npz is damaged");
    const method = view.getUint16(at + 10, true), size = view.getUint32(at + 20, true);
    const lengths = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    const name = new TextDecoder().decode(new Uint8Array(buffer, at + 46, lengths[0]));
    const local = view.getUint32(at + 42, true);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const packed = new Uint8Array(buffer, start, size);
    if (method !== STORED && method !== DEFLATED) throw new Error(`golden.npz has the compression method ${method}, which is not supported`);
    arrays[name.replace(/\.npy$/, "")] = readNpy(method === STORED ? packed.slice() : await inflate(packed));
    at += 46 + lengths[0] + lengths[1] + lengths[2];
  }
  return arrays;
}

async function inflate(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function readNpy(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = bytes[6] > 1, length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const start = (wide ? 12 : 10) + length;
  const header = new TextDecoder("latin1").decode(bytes.subarray(wide ? 12 : 10, start));
  const type = /'descr': '([^']+)'/.exec(header)[1];
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1].split(",").filter((part) => part.trim()).map(Number);
  const payload = bytes.slice(start).buffer;
  if (type.startsWith("<U")) {
    const letters = Number(type.slice(2)), points = new Uint32Array(payload), data = [];
    for (let i = 0; i < points.length; i += letters)
      data.push(String.fromCodePoint(...points.subarray(i, i + letters)).replace(/\0+$/, ""));
    return { shape, data };
  }
  if (!TYPES[type]) throw new Error(`golden.npz has an array of type ${type}, which is not supported`);
  return { shape, data: new TYPES[type](payload) };
}
