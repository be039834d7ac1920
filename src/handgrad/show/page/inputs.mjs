/**
 * From raw values to what the network takes: the preprocessing of `handgrad.tables.encoders`,
 * `handgrad.images.ImagePreprocessor` and `handgrad.export.source.RowInputs`, number for number.
 *
 * Arithmetic is in float64 and rounded to float32 once at the end, as there.
 *
 * @typedef {number | string | null} Cell  A number, a text, days since 1970; null if missing.
 */

/** What makes a network's inputs of raw values. */
export class Inputs {
  /** @param {object} description  `inputs` of the page's content */
  constructor(description) {
    this.description = description;
    /** "image", "numbers" or "table" */
    this.kind = description.kind;
    /** The columns; of an image none. */
    this.columns = description.columns ?? [];
    this._encoders = this.kind === "table" ? this.columns.map((each) => encoderOf(each, description)) : [];
    /** How many numbers the network takes, and the name of each. */
    this.names = namesOf(description);
    this.count = this.names.length;
  }

  /**
   * Encode one example.
   *
   * @param {ArrayLike<number> | Cell[]} raw  an image's levels (C * H * W), numbers, or a table's
   *   cells, one a column
   * @returns {Float32Array} of `count` numbers
   */
  encode(raw) {
    const out = new Float32Array(this.count);
    if (this.kind === "image") encodeImage(raw, this.description, out);
    else if (this.kind === "numbers") encodeNumbers(raw, this.description, out);
    else {
      let place = 0;
      this._encoders.forEach((encode, column) => {
        const made = encode(raw[column]);
        out.set(made, place);
        place += made.length;
      });
    }
    return out;
  }

  /**
   * Encode the examples of the page's `rows` or `training`.
   *
   * @param {{count: number, values?: Cell[][]}} rows
   * @param {ArrayLike<number>} [raw]  the array of the same name, where there are no values
   * @returns {Float32Array} (count, this.count), row by row
   */
  encodeAll(rows, raw) {
    const all = new Float32Array(rows.count * this.count);
    for (let row = 0; row < rows.count; row++) {
      all.set(this.encode(rawOf(rows, raw, row)), row * this.count);
    }
    return all;
  }

  /** The raw example to begin with: a blank image, or each column's start. */
  start() {
    return this.kind === "image" ? new Uint8Array(this.count) : this.columns.map((each) => each.start);
  }
}

/**
 * One raw example.
 *
 * @param {{count: number, values?: Cell[][]}} rows
 * @param {TypedArray} raw
 * @param {number} row
 * @returns {TypedArray | Cell[]}
 */
export function rawOf(rows, raw, row) {
  if (rows.values) return rows.values[row];
  const each = raw.length / rows.count;
  return raw.subarray(row * each, (row + 1) * each);
}

function namesOf(description) {
  if (description.kind === "table") return description.columns.flatMap((each) => each.features);
  if (description.kind === "numbers") return description.columns.map((each) => each.name);
  const { channels, height, width } = description;
  return Array.from({ length: channels * height * width }, (_, i) => `pixel ${i}`);
}

function encodeImage(levels, { mean, deviation, height, width }, out) {
  const pixels = height * width;
  for (let i = 0; i < out.length; i++) {
    const channel = Math.floor(i / pixels);
    out[i] = (levels[i] - mean[channel]) / deviation[channel];
  }
}

function encodeNumbers(values, { centre, deviation, far }, out) {
  for (let i = 0; i < out.length; i++) {
    if (centre === null) {
      out[i] = values[i];
      continue;
    }
    const which = Math.floor((i * centre.length) / out.length);
    const z = (values[i] - centre[which]) / deviation[which];
    out[i] = far === null ? z : z / Math.sqrt(1 + (z / far) ** 2);
  }
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** (x - center) / scale, a missing x as the median, no further than `most`; 0 for a constant. */
function standardised(x, { median, center, scale }, most) {
  if (scale === 0) return 0;
  const z = ((isNumber(x) ? x : median) - center) / scale;
  return Math.min(Math.max(z, -most), most);
}

function encoderOf(column, { most, days }) {
  if (column.kind === "number") return numberEncoder(column, most);
  return column.kind === "date" ? dateEncoder(column, most, days) : categoryEncoder(column, most);
}

function numberEncoder({ scaling, indicator }, most) {
  return (x) => {
    const z = standardised(x, scaling, most);
    return indicator ? [z, isNumber(x) ? 0 : 1] : [z];
  };
}

function dateEncoder({ scaling, indicator, cycles }, most, lengths) {
  return (day) => {
    const there = isNumber(day);
    const made = [standardised(day, scaling, most)];
    for (const cycle of cycles) {
      const turns = there ? day / lengths[cycle] : 0;
      const angle = 2 * Math.PI * (turns - Math.floor(turns));
      made.push(there ? Math.sin(angle) : 0, there ? Math.cos(angle) : 0);
    }
    return indicator ? [...made, there ? 0 : 1] : made;
  };
}

/** 1 in the place of the value less its share, the others less theirs; all 0 without a place. */
function categoryEncoder({ values, shares, other, missing, frequencies, log_scale }, most) {
  const places = new Map(values.map((value, place) => [value, place]));
  const unknown = other ? values.length : -1;
  const nothing = missing ? values.length + (other ? 1 : 0) : unknown;
  const counts = new Map(frequencies);
  return (text) => {
    const place = text === null ? nothing : places.get(text) ?? unknown;
    const made = shares.map((share, i) => {
      if (place < 0) return 0;
      return i === place ? 1 - Math.fround(share) : -Math.fround(share);
    });
    if (!frequencies.length) return made;
    return [...made, standardised(Math.log1p(counts.get(text) ?? 0), log_scale, most)];
  };
}
