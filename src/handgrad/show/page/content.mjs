/**
 * What the page shows, read from the page itself: a description in JSON, and its arrays.
 *
 * `handgrad.show.content` says what the description holds, `handgrad.show.packing` how the arrays
 * are written.
 */

const KINDS = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  uint8: Uint8Array,
};

/**
 * Read the description and the arrays of a page.
 *
 * @param {Document} page
 * @returns {Promise<{content: object, arrays: Object<string, TypedArray & {shape: number[]}>}>}
 *   Each array flat, in C order, with its `shape`.
 */
export async function load(page) {
  const content = JSON.parse(page.getElementById("handgrad-content").textContent);
  const packed = page.getElementById("handgrad-arrays").textContent;
  return { content, arrays: unpack(content.arrays, await inflate(bytesOf(packed))) };
}

/**
 * Take arrays out of inflated bytes.
 *
 * @param {Object<string, {dtype: string, shape: number[], offset: number}>} layout
 * @param {Uint8Array} bytes
 * @returns {Object<string, TypedArray & {shape: number[]}>}
 */
export function unpack(layout, bytes) {
  const arrays = {};
  for (const [name, { dtype, shape, offset }] of Object.entries(layout)) {
    const array = new KINDS[dtype](shape.reduce((product, size) => product * size, 1));
    const into = new Uint8Array(array.buffer);
    const width = array.BYTES_PER_ELEMENT;
    for (let plane = 0; plane < width; plane++) {
      const start = offset + plane * array.length;
      for (let i = 0; i < array.length; i++) into[i * width + plane] = bytes[start + i];
    }
    arrays[name] = Object.assign(array, { shape });
  }
  return arrays;
}

/** Decode base64. @param {string} text @returns {Uint8Array} */
export function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** Inflate a zlib stream. @param {Uint8Array} bytes @returns {Promise<Uint8Array>} */
export async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * What `modelFile` of model_file.mjs takes: the original model's header, and its other arrays.
 *
 * @param {object} content
 * @param {Object<string, TypedArray>} arrays
 * @returns {?{header: string, arrays: Object<string, {dtype: string,
 *   shape: number[], data: Uint8Array}>}} null where no model file can be written
 */
export function original(content, arrays) {
  if (!content.file) return null;
  const others = {};
  for (const { name, dtype, shape } of content.file.arrays) {
    const { buffer, byteOffset, byteLength } = arrays[`file/${name}`];
    others[name] = { dtype, shape, data: new Uint8Array(buffer, byteOffset, byteLength) };
  }
  return { header: content.file.header, arrays: others };
}
