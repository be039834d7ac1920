/**
 * Convolution: filters slid over images, unflipped (cross-correlation).
 *
 * With the patches P of an image side by side, (C HH WW, OH OW), and the filters as rows, the
 * output is W P; so dW = dout P^T, and W^T dout is added back to the pixels that P was read from. In
 * training the patches are kept for the backward pass.
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

  forward(x, layer, { W, b }, { mode }) {
    const { F, K, Q } = sizesOf(layer), N = x.shape[0], kept = mode === "train";
    const out = zerosLike(x, [N, ...layer.shapeOut]);
    const patches = zerosLike(x, [kept ? N : 1, K, Q]);
    for (let n = 0; n < N; n++) {
      const P = matrix(patches, Q, kept ? n * K * Q : 0);
      readPatches(x, n, layer, P);
      for (let f = 0, at = n * F * Q; b && f < F; f++, at += Q) out.data.fill(b.data[f], at, at + Q);
      product({ rows: F, inner: K, columns: Q }, matrix(W, K), P, matrix(out, Q, n * F * Q));
    }
    return { x, out, patches: kept ? patches : null };
  },

  backward(dout, { x, patches }, layer, { W, b }, needDx) {
    const { F, K, Q } = sizesOf(layer), N = x.shape[0];
    const turned = zerosLike(W, [K, F]), dx = needDx ? x.zeros() : null; // turned: dW^T = P dout^T
    const P = matrix(zerosLike(x, [K, Q]), Q), dP = matrix(zerosLike(x, [K, Q]), Q);
    for (let n = 0; n < N; n++) {
      if (!patches) readPatches(x, n, layer, P);
      const own = patches ? matrix(patches, Q, n * K * Q) : P;
      const sizes = { rows: K, inner: Q, columns: F };
      product(sizes, own, transposed(dout, Q, n * F * Q), matrix(turned, F));
      if (!needDx) continue;
      dP.data.fill(0);
      const d = matrix(dout, Q, n * F * Q);
      product({ rows: K, inner: F, columns: Q }, transposed(W, K), d, dP);
      addPatches(dx, n, layer, dP);
    }
    const dW = W.map((_, i) => turned.data[(i % K) * F + Math.floor(i / K)]);
    return b ? { dx, W: dW, b: sumOfFilters(dout, b) } : { dx, W: dW };
  },
};

function sizesOf({ shapeIn: [C], shapeOut: [F, OH, OW], settings: { size } }) {
  return { F, K: C * size * size, Q: OH * OW };
}

const tables = new WeakMap();

/** Where in an image each number of its patches (K, Q) stands; -1 outside. */
function tableOf(layer) {
  if (tables.has(layer)) return tables.get(layer);
  const { shapeIn: [C, H, W], shapeOut: [, OH, OW], settings } = layer, { K, Q } = sizesOf(layer);
  const { size, stride, padding } = settings, table = new Int32Array(K * Q);
  for (let tap = 0, at = 0; tap < C * size * size; tap++) {
    const c = Math.floor(tap / size ** 2), k = Math.floor(tap / size) % size, l = tap % size;
    for (let i = 0; i < OH; i++) {
      for (let j = 0; j < OW; j++, at++) {
        const y = i * stride + k - padding, x = j * stride + l - padding;
        const inside = y >= 0 && y < H && x >= 0 && x < W;
        table[at] = inside ? (c * H + y) * W + x : -1;
      }
    }
  }
  tables.set(layer, table);
  return table;
}

function readPatches(x, n, layer, { data: to, start }) {
  const table = tableOf(layer), image = n * (x.size / x.shape[0]), from = x.data;
  for (let i = 0; i < table.length; i++) to[start + i] = table[i] < 0 ? 0 : from[image + table[i]];
}

// A pixel stands in the patches once for each window that reads it.
function addPatches(dx, n, layer, { data: from }) {
  const table = tableOf(layer), image = n * (dx.size / dx.shape[0]), to = dx.data;
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
