/**
 * Convolution: filters slid over images, unflipped (cross-correlation).
 *
 * With the patches P of an image side by side, (C HH WW, OH OW), and the filters as rows, the
 * output is W P; so dW = dout P^T, and W^T dout is added back to the pixels that P was read from.
 */

import { matrix, transposed } from "handgrad-page/layers_dense";
import { product } from "handgrad-page/products";
import { zerosLike } from "handgrad-page/tensor";

export const Conv = {
  parameterShapes: ({ filters, size, bias }, [C]) => ({
    W: [filters, C, size, size],
    ...(bias ? { b: [filters] } : {}),
  }),

  outputShape: ({ filters, size, stride, padding }, [, H, W]) => [
    filters,
    1 + Math.floor((H + 2 * padding - size) / stride),
    1 + Math.floor((W + 2 * padding - size) / stride),
  ],

  forward(x, layer, { W, b }) {
    const { F, K, Q } = sizesOf(layer), N = x.shape[0];
    const out = zerosLike(x, [N, ...layer.shapeOut]);
    const patches = zerosLike(x, [K, Q]);
    for (let n = 0; n < N; n++) {
      readPatches(x, n, layer, patches);
      if (b) for (let f = 0; f < F; f++) out.data.fill(b.data[f], (n * F + f) * Q, (n * F + f + 1) * Q);
      const sizes = { rows: F, inner: K, columns: Q };
      product(sizes, matrix(W, K), matrix(patches, Q), matrix(out, Q, n * F * Q));
    }
    return { x, out };
  },

  backward(dout, { x }, layer, { W, b }, needDx) {
    const { F, K, Q } = sizesOf(layer), N = x.shape[0];
    const dW = W.zeros(), dx = needDx ? x.zeros() : null;
    const patches = zerosLike(x, [K, Q]);
    for (let n = 0; n < N; n++) {
      const d = matrix(dout, Q, n * F * Q);
      readPatches(x, n, layer, patches);
      product({ rows: F, inner: Q, columns: K }, d, transposed(patches, Q), matrix(dW, K));
      if (!needDx) continue;
      patches.data.fill(0);
      product({ rows: K, inner: F, columns: Q }, transposed(W, K), d, matrix(patches, Q));
      addPatches(dx, n, layer, patches);
    }
    return b ? { dx, W: dW, b: sumOfFilters(dout, b) } : { dx, W: dW };
  },
};

function sizesOf({ shapeIn: [C], shapeOut: [F, OH, OW], settings: { size } }) {
  return { F, K: C * size * size, Q: OH * OW };
}

/**
 * Call f(offset in the image, offset in the patches, how many) for each row of pixels that a tap
 * of the filter reads: the pixels are `stride` apart, and those outside the image are left out.
 */
function eachRow({ shapeIn: [C, H, W], shapeOut: [, OH, OW], settings }, f) {
  const { size, stride, padding } = settings;
  for (let c = 0, row = 0; c < C; c++) {
    for (let k = 0; k < size; k++) {
      for (let l = 0; l < size; l++, row++) {
        const first = Math.max(0, Math.ceil((padding - l) / stride));
        const end = Math.min(OW, Math.floor((W - 1 + padding - l) / stride) + 1);
        for (let i = 0; i < OH; i++) {
          const y = i * stride + k - padding;
          if (y < 0 || y >= H) continue;
          const pixel = (c * H + y) * W + first * stride + l - padding;
          f(pixel, (row * OH + i) * OW + first, end - first);
        }
      }
    }
  }
}

function readPatches(x, n, layer, patches) {
  const image = n * (x.size / x.shape[0]), { stride, padding } = layer.settings;
  if (padding) patches.data.fill(0);
  const from = x.data, to = patches.data;
  eachRow(layer, (pixel, at, count) => {
    for (let j = 0; j < count; j++) to[at + j] = from[image + pixel + j * stride];
  });
}

function addPatches(dx, n, layer, patches) {
  const image = n * (dx.size / dx.shape[0]), { stride } = layer.settings;
  const from = patches.data, to = dx.data;
  eachRow(layer, (pixel, at, count) => {
    for (let j = 0; j < count; j++) to[image + pixel + j * stride] += from[at + j];
  });
}

function sumOfFilters(dout, b) {
  const db = b.zeros(), F = b.size, Q = dout.size / dout.shape[0] / F;
  for (let row = 0; row < dout.shape[0] * F; row++) {
    let sum = 0;
    for (let q = 0; q < Q; q++) sum += dout.data[row * Q + q];
    db.data[row % F] += sum;
  }
  return db;
}
