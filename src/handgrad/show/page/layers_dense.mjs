/**
 * The fully connected layer, dropout and flattening.
 */

import { product } from "handgrad-page/products";
import { sizeOf, zerosLike } from "handgrad-page/tensor";

/** out[n, m] = sum over d of x[n, d] W[d, m], + b[m]. */
export const Dense = {
  parameterShapes: ({ units }, shape) => ({ W: [sizeOf(shape), units], b: [units] }),

  outputShape: ({ units }) => [units],

  forward(x, layer, { W, b }) {
    const [D, M] = W.shape, N = x.shape[0];
    const out = zerosLike(x, [N, M]);
    for (let n = 0; n < N; n++) out.data.set(b.data, n * M);
    product({ rows: N, inner: D, columns: M }, matrix(x, D), matrix(W, M), matrix(out, M));
    return { x, out };
  },

  // dx = dout W^T, dW = x^T dout, db = dout summed over the examples.
  backward(dout, { x }, layer, { W, b }, needDx) {
    const [D, M] = W.shape, N = x.shape[0];
    const dW = W.zeros(), db = b.zeros();
    product({ rows: D, inner: N, columns: M }, transposed(x, D), matrix(dout, M), matrix(dW, M));
    for (let i = 0; i < dout.size; i++) db.data[i % M] += dout.data[i];
    if (!needDx) return { dx: null, W: dW, b: db };
    const dx = x.zeros();
    product({ rows: N, inner: M, columns: D }, matrix(dout, M), transposed(W, M), matrix(dx, D));
    return { dx, W: dW, b: db };
  },
};

/** A tensor as product takes it: rows of so many numbers, from the number at start on. */
export function matrix(tensor, columns, start = 0) {
  return { data: tensor.data, start, rowStep: columns, columnStep: 1 };
}

/** The transpose of a tensor with rows of so many numbers. */
export function transposed(tensor, columns, start = 0) {
  return { data: tensor.data, start, rowStep: 1, columnStep: columns };
}

/**
 * In training out = x * mask, not rescaled; in testing out = x * keep, its expectation.
 */
export const Dropout = {
  outputShape: (settings, shape) => shape,

  forward(x, { settings: { keep } }, own, { mode, random, mask }) {
    if (mode === "test") return { x, out: x.map((value) => value * keep) };
    if (!mask && !random) throw new Error("dropout in training needs random numbers");
    const kept = mask ?? Uint8Array.from(x.data, () => (random() < keep ? 1 : 0));
    return { x, mask: kept, out: x.map((value, i) => value * kept[i]) };
  },

  backward(dout, { mask }, { settings: { keep } }) {
    if (!mask) return { dx: dout.map((value) => value * keep) };
    return { dx: dout.map((value, i) => (mask[i] ? value : 0)) };
  },
};

/** (C, H, W) to (C * H * W): the same numbers. */
export const Flatten = {
  outputShape: (settings, shape) => [sizeOf(shape)],

  forward: (x, { shapeOut }) => ({ x, out: x.reshaped([x.shape[0], ...shapeOut]) }),

  backward: (dout, { x }) => ({ dx: dout.reshaped(x.shape) }),
};
