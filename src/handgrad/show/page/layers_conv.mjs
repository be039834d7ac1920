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
    const patches = zerosLike(x, [K, Q]), { byTap } = tableOf(layer);
    for (let n = 0; n < N; n++) {
      readPatches(x, n, byTap, patches);
      for (let f = 0, at = n * F * Q; b && f < F; f++, at += Q) out.data.fill(b.data[f], at, at + Q);
      const sizes = { rows: F, inner: K, columns: Q };
      product(sizes, matrix(W, K), matrix(patches, Q), matrix(out, Q, n * F * Q));
    }
    return { x, out };
  },

  backward(dout, { x }, layer, { W, b }, needDx) {
    const { F, K, Q } = sizesOf(layer), N = x.shape[0];
    const dW = W.zeros(), dx = needDx ? x.zeros() : null;
    const patches = zerosLike(x, [K, Q]), { byTap, byWindow } = tableOf(layer);
    for (let n = 0; n < N; n++) {
      const d = matrix(dout, Q, n * F * Q);
      readPatches(x, n, byWindow, patches); // P^T
      product({ rows: F, inner: Q, columns: K }, d, matrix(patches, K), matrix(dW, K));
      if (!needDx) continue;
      patches.data.fill(0);
      product({ rows: K, inner: F, columns: Q }, transposed(W, K), d, matrix(patches, Q));
      addPatches(dx, n, byTap, patches);
    }
    return b ? { dx, W: dW, b: sumOfFilters(dout, b) } : { dx, W: dW };
  },
};

function sizesOf({ shapeIn: [C], shapeOut: [F, OH, OW], settings: { size } }) {
  return { F, K: C * size * size, Q: OH * OW };
}

const tables = new WeakMap();

/**
 * Where in an image each number of its patches stands, -1 outside: {byTap: (K, Q), byWindow: (Q, K)}.
 */
function tableOf(layer) {
  if (tables.has(layer)) return tables.get(layer);
  const { shapeIn: [C, H, W], shapeOut: [, , OW], settings } = layer, { K, Q } = sizesOf(layer);
  const { size, stride, padding } = settings;
  const byTap = new Int32Array(K * Q), byWindow = new Int32Array(K * Q);
  for (let c = 0, tap = 0; c < C; c++) {
    for (let k = 0; k < size; k++) {
      for (let l = 0; l < size; l++, tap++) {
        for (let window = 0; window < Q; window++) {
          const y = Math.floor(window / OW) * stride + k - padding;
          const x = (window % OW) * stride + l - padding;
          const inside = y >= 0 && y < H && x >= 0 && x < W;
          byTap[tap * Q + window] = byWindow[window * K + tap] = inside ? (c * H + y) * W + x : -1;
        }
      }
    }
  }
  tables.set(layer, { byTap, byWindow });
  return tables.get(layer);
}

function readPatches(x, n, table, patches) {
  const image = n * (x.size / x.shape[0]), from = x.data, to = patches.data;
  for (let i = 0; i < table.length; i++) to[i] = table[i] < 0 ? 0 : from[image + table[i]];
}

// A pixel stands in the patches once for each window that reads it.
function addPatches(dx, n, table, patches) {
  const image = n * (dx.size / dx.shape[0]), from = patches.data, to = dx.data;
  for (let i = 0; i < table.length; i++) if (table[i] >= 0) to[image + table[i]] += from[i];
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
