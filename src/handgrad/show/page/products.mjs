/**
 * Matrix products, the loops in which nearly all time is spent.
 *
 * A matrix is numbers with a start and two steps: entry [i, k] is at start + i * rowStep + k *
 * columnStep, so that it may stand transposed. The plain loop comes first; the others give the same.
 */

import { vectorProduct } from "handgrad-page/products_wasm";

/**
 * The plain loop: C[i, j] += sum over k of A[i, k] B[k, j]. The tests hold the fast one to it.
 *
 * @param {{rows: number, inner: number, columns: number}} sizes  A (rows, inner), B (inner, columns)
 * @param {{data: Float32Array | Float64Array, start: number, rowStep: number, columnStep: number}} A
 * @param {{data: Float32Array | Float64Array, start: number, rowStep: number, columnStep: number}} B
 * @param {{data: Float32Array | Float64Array, start: number}} C  (rows, columns), row by row
 */
export function plainProduct({ rows, inner, columns }, A, B, C) {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) {
        const a = A.data[A.start + i * A.rowStep + k * A.columnStep];
        sum += a * B.data[B.start + k * B.rowStep + j * B.columnStep];
      }
      C.data[C.start + i * columns + j] += sum;
    }
  }
}

const vectors = vectorProduct();

// Below, copying to the vectors' memory costs more than they gain.
const FEW = 50_000;

/**
 * The same, faster: by vectors where it is large and of float32; else four of B's rows at a time, or
 * dot products where B stands transposed.
 */
export function product(sizes, A, B, C) {
  const { rows, inner, columns } = sizes;
  const large = rows * inner * columns >= FEW && C.data instanceof Float32Array;
  if (vectors && large) vectors(sizes, A, B, C);
  else plainlyFast(sizes, A, B, C);
}

/** The fast loops without vectors. */
export function plainlyFast(sizes, A, B, C) {
  if (B.columnStep === 1) byRows(sizes, A, B, C);
  else if (B.rowStep === 1 && A.columnStep === 1) byDots(sizes, A, B, C);
  else plainProduct(sizes, A, B, C);
}

// C's row is read and written once for four of B's rows.
function byRows({ rows, inner, columns }, A, B, C) {
  const a = A.data, b = B.data, c = C.data;
  for (let i = 0; i < rows; i++) {
    const row = C.start + i * columns;
    let k = 0;
    for (; k + 4 <= inner; k += 4) {
      const at = A.start + i * A.rowStep + k * A.columnStep;
      const a0 = a[at], a1 = a[at + A.columnStep];
      const a2 = a[at + 2 * A.columnStep], a3 = a[at + 3 * A.columnStep];
      const b0 = B.start + k * B.rowStep, b1 = b0 + B.rowStep, b2 = b1 + B.rowStep, b3 = b2 + B.rowStep;
      for (let j = 0; j < columns; j++) {
        c[row + j] += a0 * b[b0 + j] + a1 * b[b1 + j] + a2 * b[b2 + j] + a3 * b[b3 + j];
      }
    }
    for (; k < inner; k++) {
      const a0 = a[A.start + i * A.rowStep + k * A.columnStep], b0 = B.start + k * B.rowStep;
      for (let j = 0; j < columns; j++) c[row + j] += a0 * b[b0 + j];
    }
  }
}

// Four columns of C at a time, each a dot product along k.
function byDots({ rows, inner, columns }, A, B, C) {
  const a = A.data, b = B.data, c = C.data;
  for (let i = 0; i < rows; i++) {
    const row = A.start + i * A.rowStep, out = C.start + i * columns;
    let j = 0;
    for (; j + 4 <= columns; j += 4) {
      const b0 = B.start + j * B.columnStep, b1 = b0 + B.columnStep;
      const b2 = b1 + B.columnStep, b3 = b2 + B.columnStep;
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      for (let k = 0; k < inner; k++) {
        const x = a[row + k];
        s0 += x * b[b0 + k];
        s1 += x * b[b1 + k];
        s2 += x * b[b2 + k];
        s3 += x * b[b3 + k];
      }
      c[out + j] += s0;
      c[out + j + 1] += s1;
      c[out + j + 2] += s2;
      c[out + j + 3] += s3;
    }
    for (; j < columns; j++) {
      const b0 = B.start + j * B.columnStep;
      let sum = 0;
      for (let k = 0; k < inner; k++) sum += a[row + k] * b[b0 + k];
      c[out + j] += sum;
    }
  }
}
