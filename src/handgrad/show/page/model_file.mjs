/**
 * A model file, as `handgrad predict` reads it: a safetensors file with the original's header.
 */

/**
 * Write a network's parameters and statistics in place of those of the model it came from.
 *
 * @param {import("handgrad-page/network").Network} network
 * @param {object} original
 * @param {string} original.header  the metadata "handgrad" of the model's file, as it stands there
 * @param {string} original.prefix  of the network's arrays: "network/" for `handgrad train`'s
 * @param {Object<string, {dtype: string, shape: number[], data: Uint8Array}>} original.arrays  the
 *   file's other arrays, by name: what preprocesses and decodes; dtype as safetensors has it ("F64")
 * @returns {Uint8Array}  the file's bytes
 */
export function modelFile(network, { header, prefix, arrays }) {
  throw new Error("modelFile is not written yet");
}
