/**
 * Arrays of numbers with a shape, row by row as NumPy's C order has them.
 */

/** An array: `data[offsetOf(shape, index)]` is its entry at `index`. */
export class Tensor {
  /**
   * @param {number[]} shape
   * @param {Float32Array | Float64Array} [data] zeros of float32 where left out
   */
  constructor(shape, data = new Float32Array(sizeOf(shape))) {
    if (data.length !== sizeOf(shape)) {
      throw new Error(`a tensor of shape (${shape}) has ${sizeOf(shape)} numbers; got ${data.length}`);
    }
    this.shape = [...shape];
    this.data = data;
  }

  /** How many numbers it holds. */
  get size() {
    return this.data.length;
  }

  /** The entry at an index: one whole number an axis. */
  at(index) {
    return this.data[offsetOf(this.shape, index)];
  }

  /** The same numbers in another shape; they are not copied. */
  reshaped(shape) {
    return new Tensor(shape, this.data);
  }

  /** A copy. */
  copy() {
    return new Tensor(this.shape, this.data.slice());
  }

  /** A copy of other numbers: Float32Array or Float64Array. */
  as(Numbers) {
    return new Tensor(this.shape, Numbers.from(this.data));
  }

  /** Zeros in this shape, of this kind of numbers. */
  zeros() {
    return zerosLike(this, this.shape);
  }

  /** A new tensor with f of each entry. */
  map(f) {
    const out = this.zeros(), from = this.data, to = out.data;
    for (let i = 0; i < to.length; i++) to[i] = f(from[i], i);
    return out;
  }
}

/** Zeros of a shape, of another tensor's kind of numbers. */
export function zerosLike(tensor, shape) {
  return new Tensor(shape, new tensor.data.constructor(sizeOf(shape)));
}

/** The product of the sizes of all axes. */
export function sizeOf(shape) {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * Where the entry at an index stands in `data`.
 *
 * @param {number[]} shape
 * @param {number[]} index
 * @returns {number}
 */
export function offsetOf(shape, index) {
  if (index.length !== shape.length || index.some((at, axis) => !(at >= 0 && at < shape[axis]))) {
    throw new Error(`there is no entry [${index}] in an array of shape (${shape})`);
  }
  return index.reduce((offset, at, axis) => offset * shape[axis] + at, 0);
}

/** The index of the entry that stands at an offset: the inverse of offsetOf. */
export function indexOf(shape, offset) {
  const index = new Array(shape.length);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index[axis] = offset % shape[axis];
    offset = Math.floor(offset / shape[axis]);
  }
  return index;
}

/**
 * Images (N, C, H, W) as [N, C, H * W], rows (N, D) as [N, D, 1]: what a channel's numbers are.
 */
export function channelsOf(shape) {
  return [shape[0], shape[1], sizeOf(shape.slice(2))];
}
