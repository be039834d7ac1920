/**
 * A model file, as `handgrad predict` reads it: a safetensors file with the original's header.
 */

/** What stands in the header where the network's description belongs, as a JSON text. */
export const NETWORK_HERE = '"the network of the page"';

/** How many bytes a number has: "F64" names its bits, "BOOL" none. */
const bytesOf = (dtype) => Number(dtype.slice(1)) / 8 || 1;

/**
 * Write a network with what preprocesses and decodes in the model it came from.
 *
 * @param {import("handgrad-page/network").Network} network  its description goes into the file, as
 *   an activation may have been exchanged
 * @param {object} original
 * @param {string} original.header  the metadata "handgrad" of a model's file (`handgrad.models`),
 *   with NETWORK_HERE in place of the network's description. It is never parsed, so that no number
 *   in it changes.
 * @param {Object<string, {dtype: string, shape: number[], data: Uint8Array}>} original.arrays  the
 *   file's arrays that are not the network's; dtype as safetensors has it: "F64"
 * @returns {Uint8Array}  the file's bytes
 */
export function modelFile(network, { header, arrays }) {
  const own = { ...network.params, ...network.state };
  const entries = Object.entries(arrays);
  for (const [name, { shape, data }] of Object.entries(own)) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const dtype = data instanceof Float64Array ? "F64" : "F32";
    entries.push([`network/${name}`, { dtype, shape, data: bytes }]);
  }
  // Wide numbers first: each array then begins at a multiple of its numbers' size.
  entries.sort(([, a], [, b]) => bytesOf(b.dtype) - bytesOf(a.dtype));
  return safetensors(entries, { handgrad: described(header, network.description) });
}

/** The header with the network's description: `model` is JSON in a string of the header's JSON. */
function described(header, description) {
  const inString = (text) => JSON.stringify(text).slice(1, -1);
  const place = inString(NETWORK_HERE);
  if (header.split(place).length !== 2) throw new Error("the header has no place for the network");
  return header.replace(place, () => inString(JSON.stringify(description)));
}

/** The bytes of a safetensors file: the header's length, the header, the arrays. */
function safetensors(entries, metadata) {
  const header = { __metadata__: metadata };
  let end = 0;
  for (const [name, { dtype, shape, data }] of entries) {
    header[name] = { dtype, shape, data_offsets: [end, end + data.length] };
    end += data.length;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(text.length / 8) * 8; // filled up with blanks, so that arrays are aligned
  const file = new Uint8Array(8 + length + end).fill(32, 8, 8 + length);
  new DataView(file.buffer).setBigUint64(0, BigInt(length), true);
  file.set(text, 8);
  let at = 8 + length;
  for (const [, { data }] of entries) {
    file.set(data, at);
    at += data.length;
  }
  return file;
}
