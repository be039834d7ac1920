/**
 * Explanations of the layers with weights: fully connected and convolution.
 */

import {
  box, channelBox, constant, doutOf, exampleBox, ofExample, parameter, sumOf, term, xOf,
} from "handgrad-page/explain_parts";
import { offsetOf, sizeOf } from "handgrad-page/tensor";

const range = (count) => Array.from({ length: count }, (_, i) => i);

/** The penalty's part of a weight's gradient, where there is a penalty. */
function penalty(at, index) {
  const { reg } = at.network;
  return reg ? [term([constant("reg", reg), parameter(at, "W", index)], "penalty")] : [];
}

const penaltyFormula = (at, W, index) => (at.network.reg ? ` + reg · ${W}[${index}]` : "");

const bias = (at, index) => (at.own.b ? [term([parameter(at, "b", index)], "bias")] : []);

function denseOut(at, [n, m]) {
  const { shapeIn, names: { W, b } } = at.layer, D = sizeOf(shapeIn);
  const terms = range(D).map((d) =>
    term([xOf(at, ofExample(shapeIn, n, d)), parameter(at, "W", [d, m])]));
  return sumOf({
    formula: `out[n, m] = Σ_d x[n, d] · ${W}[d, m] + ${b}[m]`,
    terms: [...terms, ...bias(at, [m])],
    boxes: [
      exampleBox("row", "x", at.position, shapeIn, n),
      box("column", W, undefined, [0, m], [D - 1, m]),
      box("bias", b, undefined, [m], [m]),
    ],
    theory: { page: "fully_connected", formula: "fc-forward" },
    says: `Output ${m} of example ${n} is the sum of its ${D} inputs, each times its weight, `
      + "plus a bias.",
  });
}

function denseDW(at, [d, m]) {
  const { shapeIn, names: { W } } = at.layer, N = at.trace.N;
  const terms = range(N).map((n) => term([xOf(at, ofExample(shapeIn, n, d)), doutOf(at, [n, m])]));
  return sumOf({
    formula: `d${W}[d, m] = Σ_n x[n, d] · dout[n, m]${penaltyFormula(at, W, "d, m")}`,
    terms: [...terms, ...penalty(at, [d, m])],
    boxes: [
      box("column", "x", at.position, ofExample(shapeIn, 0, d), ofExample(shapeIn, N - 1, d)),
      box("upstream", "dout", at.position, [0, m], [N - 1, m]),
    ],
    theory: { page: "fully_connected", formula: "fc-gradients" },
    says: `The weight is used once by each of the ${N} examples: its gradient is the sum of what `
      + "each input met upstream.",
  });
}

function denseDb(at, [m]) {
  const N = at.trace.N;
  return sumOf({
    formula: `d${at.layer.names.b}[m] = Σ_n dout[n, m]`,
    terms: range(N).map((n) => term([doutOf(at, [n, m])])),
    boxes: [box("upstream", "dout", at.position, [0, m], [N - 1, m])],
    theory: { page: "fully_connected", formula: "fc-gradients" },
    says: "The bias is added for each example: its gradient is the sum of the upstream column.",
  });
}

function denseDx(at, [n, ...rest]) {
  const { shapeIn, names: { W }, shapeOut: [M] } = at.layer;
  const d = offsetOf(shapeIn, rest);
  return sumOf({
    formula: `dx[n, d] = Σ_m dout[n, m] · ${W}[d, m]`,
    terms: range(M).map((m) => term([doutOf(at, [n, m]), parameter(at, "W", [d, m])])),
    boxes: [
      box("upstream", "dout", at.position, [n, 0], [n, M - 1]),
      box("row", W, undefined, [d, 0], [d, M - 1]),
    ],
    theory: { page: "fully_connected", formula: "fc-gradients" },
    says: `The input went into all ${M} outputs of its example: each sends its gradient back `
      + "through the same weight.",
  });
}

/** Where in the image tap k of the window at i reads, as the formulas write it. */
function reading({ stride, padding }, i, k) {
  return `${stride > 1 ? `${stride}${i}` : i} + ${k}${padding ? ` − ${padding}` : ""}`;
}

function convOut(at, [n, f, i, j]) {
  const { shapeIn: [C, H, W], settings, names } = at.layer, { size, stride, padding } = settings;
  const top = i * stride - padding, left = j * stride - padding, terms = [];
  for (let c = 0; c < C; c++) {
    for (let k = 0; k < size; k++) {
      for (let l = 0; l < size; l++) {
        const y = top + k, x = left + l, inside = y >= 0 && y < H && x >= 0 && x < W;
        const pixel = inside ? xOf(at, [n, c, y, x]) : constant("0", 0);
        terms.push(term([pixel, parameter(at, "W", [f, c, k, l])], inside ? undefined : "padding"));
      }
    }
  }
  const pixel = `${reading(settings, "i", "k")}, ${reading(settings, "j", "l")}`;
  return sumOf({
    formula: `out[n, f, i, j] = Σ_ckl x[n, c, ${pixel}] · ${names.W}[f, c, k, l]`
      + (names.b ? ` + ${names.b}[f]` : ""),
    terms: [...terms, ...bias(at, [f])],
    boxes: [
      box("patch", "x", at.position, [n, 0, Math.max(0, top), Math.max(0, left)],
        [n, C - 1, Math.min(H, top + size) - 1, Math.min(W, left + size) - 1]),
      box("filter", names.W, undefined, [f, 0, 0, 0], [f, C - 1, size - 1, size - 1]),
    ],
    theory: { page: "convolution", formula: "conv-forward" },
    says: `Filter ${f} lies on a patch of ${size} × ${size} pixels: each pixel times the filter's `
      + "number on it, summed.",
  });
}

function convDW(at, [f, c, k, l]) {
  const { shapeIn: [, H, W], shapeOut: [, OH, OW], settings, names } = at.layer;
  const { stride, padding } = settings, terms = [], rows = [], columns = [];
  for (let i = 0; i < OH; i++) if (inside(i * stride + k - padding, H)) rows.push(i);
  for (let j = 0; j < OW; j++) if (inside(j * stride + l - padding, W)) columns.push(j);
  const pixel = (n, i, j) => [n, c, i * stride + k - padding, j * stride + l - padding];
  for (let n = 0; n < at.trace.N; n++) {
    for (const i of rows) {
      for (const j of columns) terms.push(term([xOf(at, pixel(n, i, j)), doutOf(at, [n, f, i, j])]));
    }
  }
  const last = at.trace.N - 1, read = rows.length && columns.length;
  const [firstI, firstJ, lastI, lastJ] = [rows[0], columns[0], rows.at(-1), columns.at(-1)];
  const readAt = `${reading(settings, "i", "k")}, ${reading(settings, "j", "l")}`;
  return sumOf({
    formula: `d${names.W}[f, c, k, l] = Σ_nij x[n, c, ${readAt}]`
      + ` · dout[n, f, i, j]${penaltyFormula(at, names.W, "f, c, k, l")}`,
    terms: [...terms, ...penalty(at, [f, c, k, l])],
    boxes: read ? [
      box("patch", "x", at.position, pixel(0, firstI, firstJ), pixel(last, lastI, lastJ)),
      box("upstream", "dout", at.position, [0, f, firstI, firstJ], [last, f, lastI, lastJ]),
    ] : [],
    theory: { page: "convolution", formula: "conv-backward" },
    says: "The filter's number lay on each of these pixels once: its gradient is the image filtered "
      + "with the upstream gradient.",
  });
}

const inside = (at, size) => at >= 0 && at < size;

function convDb(at, [f]) {
  const { shapeOut: [, OH, OW], names } = at.layer, terms = [];
  for (let n = 0; n < at.trace.N; n++) {
    for (let i = 0; i < OH; i++) {
      for (let j = 0; j < OW; j++) terms.push(term([doutOf(at, [n, f, i, j])]));
    }
  }
  return sumOf({
    formula: `d${names.b}[f] = Σ_nij dout[n, f, i, j]`,
    terms,
    boxes: [channelBox("upstream", "dout", at.position, at.dout.shape, f)],
    theory: { page: "channel_bias", formula: "bias-gradients" },
    says: "The bias is added to every pixel of its channel: its gradient is the sum of them all.",
  });
}

// The pixel lies under tap (k, l) of the window (i, j) where a = i s + k - p and b = j s + l - p.
function convDx(at, [n, c, a, b]) {
  const { shapeOut: [F, OH, OW], settings, names } = at.layer, { size, stride, padding } = settings;
  const windows = (pixel, count) => range(count)
    .map((i) => [i, pixel + padding - i * stride])
    .filter(([, tap]) => tap >= 0 && tap < size);
  const rows = windows(a, OH), columns = windows(b, OW), terms = [];
  for (let f = 0; f < F; f++) {
    for (const [i, k] of rows) {
      for (const [j, l] of columns) {
        terms.push(term([doutOf(at, [n, f, i, j]), parameter(at, "W", [f, c, k, l])]));
      }
    }
  }
  const back = (pixel, tap) => {
    const moved = `${pixel}${padding ? ` + ${padding}` : ""} − ${tap}`;
    return stride > 1 ? `(${moved})/${stride}` : moved;
  };
  return sumOf({
    formula: `dx[n, c, a, b] = Σ_fkl dout[n, f, ${back("a", "k")}, ${back("b", "l")}]`
      + ` · ${names.W}[f, c, k, l]`,
    terms,
    boxes: rows.length && columns.length ? boxesOfDx(at, n, c, rows, columns) : [],
    theory: { page: "convolution", formula: "conv-backward" },
    says: `The pixel lay under ${rows.length * columns.length} windows of each filter: where the `
      + "window moves on, the tap moves back, so the filter meets dout flipped.",
  });
}

function boxesOfDx(at, n, c, rows, columns) {
  const { shapeOut: [F], names } = at.layer;
  const [firstI, firstK] = rows[0], [lastI, lastK] = rows.at(-1);
  const [firstJ, firstL] = columns[0], [lastJ, lastL] = columns.at(-1);
  return [
    box("upstream", "dout", at.position, [n, 0, firstI, firstJ], [n, F - 1, lastI, lastJ]),
    box("filter", names.W, undefined, [0, c, lastK, lastL], [F - 1, c, firstK, firstL]),
  ];
}

export const affine = {
  Dense: { out: denseOut, x: denseDx, W: denseDW, b: denseDb },
  Conv: { out: convOut, x: convDx, W: convDW, b: convDb },
};
