/** The model that the page was made of, as the session looks at it. */

import { Sketch } from "handgrad-page/drawing";
import { Inputs, rawOf } from "handgrad-page/inputs";
import { modelFile } from "handgrad-page/model_file";
import { Network } from "handgrad-page/network";

/**
 * @param {object} content
 * @param {Object<string, TypedArray & {shape: number[]}>} arrays
 * @returns {import("handgrad-page/views/session").Subject}
 */
export function modelSubject(content, arrays) {
  const inputs = new Inputs(content.inputs);
  const network = new Network(content.network, arrays);
  return {
    title: content.title,
    network,
    task: content.task,
    outputs: content.outputs,
    target: content.task === "regress" ? content.target : null,
    inputs: content.inputs,
    features: inputs.kind === "image" ? null : inputs.names,
    rows: rowsOf(content.rows, "rows", arrays, inputs),
    training: rowsOf(content.training, "training", arrays, inputs),
    encode: (raw) => inputs.encode(raw),
    read: readerOf(inputs),
    blank: inputs.start(),
  };
}

/** How an address's text is read as raw values: strokes of a picture, or the columns' values. */
function readerOf({ kind, columns }) {
  if (kind === "image") return (text) => Sketch.read(text).image();
  return (text) => {
    try {
      const values = JSON.parse(text);
      return Array.isArray(values) && values.length === columns.length ? values : null;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return null; // an address that somebody has cut short
    }
  };
}

/** Rows of the page, each encoded when it is first asked for; null where there are none. */
function rowsOf(rows, name, arrays, inputs) {
  if (!rows?.count) return null;
  const y = arrays[`${name}/y`] ?? null;
  const each = y ? y.length / rows.count : 0;
  const encoded = new Array(rows.count);
  const raw = (row) => rawOf(rows, arrays[`${name}/raw`], row);
  return {
    count: rows.count,
    mistakes: rows.mistakes ?? 0,
    train: rows.train ?? rows.count,
    source: rows.source ?? "",
    raw,
    input: (row) => (encoded[row] ??= inputs.encode(raw(row))),
    target: y ? (row) => Array.from(y.subarray(row * each, (row + 1) * each)) : null,
    name: (row) => rows.names?.[row] ?? `row ${row}`,
  };
}

/** What writes a model file of a network trained here, or null where the page cannot. */
export function writerOf({ file }, arrays) {
  if (!file) return null;
  const others = Object.fromEntries(file.arrays.map(({ name, dtype, shape }) => {
    const { buffer, byteOffset, byteLength } = arrays[`file/${name}`];
    return [name, { dtype, shape, data: new Uint8Array(buffer, byteOffset, byteLength) }];
  }));
  return (network) => modelFile(network, { ...file, arrays: others });
}
