/**
 * Explanations of the pools: windows, winners and shares.
 */

import { box, constant, doutOf, shown, sumOf, term, xOf } from "handgrad-page/explain_parts";

/** The pixels of a window, in reading order. */
function windowOf({ layer: { settings: { size, stride } } }, [n, c, i, j]) {
  const step = stride ?? size, pixels = [];
  for (let k = 0; k < size; k++) {
    for (let l = 0; l < size; l++) pixels.push([n, c, i * step + k, j * step + l]);
  }
  return pixels;
}

/** The windows that a pixel lies in, in reading order. */
function windowsOver({ layer: { settings: { size, stride }, shapeOut: [, OH, OW] } }, [n, c, a, b]) {
  const step = stride ?? size, found = [];
  const over = (pixel, i) => pixel >= i * step && pixel < i * step + size;
  for (let i = 0; i < OH; i++) {
    for (let j = 0; j < OW; j++) if (over(a, i) && over(b, j)) found.push([n, c, i, j]);
  }
  return found;
}

/** The first of the largest pixels. */
function winnerOf(at, pixels) {
  return pixels.reduce((best, pixel) => (at.step.x.at(pixel) > at.step.x.at(best) ? pixel : best));
}

const windowBox = (at, pixels) => box("window", "x", at.position, pixels[0], pixels.at(-1));

function upstreamBoxes(at, windows) {
  return windows.length ? [box("upstream", "dout", at.position, windows[0], windows.at(-1))] : [];
}

const MaxPool = {
  out(at, index) {
    const pixels = windowOf(at, index), winner = winnerOf(at, pixels);
    const terms = pixels.map((pixel) =>
      term([xOf(at, pixel)], pixel === winner ? "the winner" : undefined));
    const total = at.step.x.at(winner);
    const written = terms.slice(0, 9).map(({ product }) => shown(product)).join(", ");
    const tied = terms.filter(({ product }) => product === total).length > 1;
    return {
      formula: "out[n, c, i, j] = max over the window of x",
      operation: "max", scale: [], values: [], total, terms,
      numbers: `max(${written}${terms.length > 9 ? ", …" : ""}) = ${shown(total)}`,
      boxes: [windowBox(at, pixels), box("winner", "x", at.position, winner, winner)],
      theory: { page: "max_pooling", formula: "pool-forward" },
      says: tied
        ? "Several pixels of the window are the largest: the first in reading order is the winner."
        : "The largest pixel of the window comes through; the others are forgotten.",
    };
  },
  x(at, index) {
    const windows = windowsOver(at, index);
    const terms = windows.map((window) => {
      const wins = winnerOf(at, windowOf(at, window)).every((i, axis) => i === index[axis]);
      const share = constant("winner", wins ? 1 : 0);
      return term([doutOf(at, window), share], wins ? "the winner" : "another pixel wins");
    });
    return sumOf({
      formula: "dx[n, c, a, b] = Σ over its windows of dout · [it is the winner]",
      terms,
      boxes: upstreamBoxes(at, windows),
      theory: { page: "max_pooling", formula: "pool-backward" },
      says: windows.length
        ? "A window sends its whole gradient to its winner, and nothing to the others."
        : "No window covers the pixel: it has no part in the output.",
    });
  },
};

const AvgPool = {
  out(at, index) {
    const pixels = windowOf(at, index);
    return sumOf({
      formula: "out[n, c, i, j] = 1/(size · size) · Σ over the window of x",
      scale: [constant(`1/${pixels.length}`, 1 / pixels.length)],
      terms: pixels.map((pixel) => term([xOf(at, pixel)])),
      boxes: [windowBox(at, pixels)],
      theory: { page: "average_pooling", formula: "avg-forward" },
      says: `The mean of the window's ${pixels.length} pixels.`,
    });
  },
  x(at, index) {
    const windows = windowsOver(at, index), { size } = at.layer.settings;
    return sumOf({
      formula: "dx[n, c, a, b] = 1/(size · size) · Σ over its windows of dout",
      scale: [constant(`1/${size * size}`, 1 / (size * size))],
      terms: windows.map((window) => term([doutOf(at, window)])),
      boxes: upstreamBoxes(at, windows),
      theory: { page: "average_pooling", formula: "avg-backward" },
      says: "Each window shares its gradient among its pixels.",
    });
  },
};

const GlobalAvgPool = {
  out(at, [n, c]) {
    const { shapeIn: [, H, W] } = at.layer, terms = [];
    for (let i = 0; i < H; i++) for (let j = 0; j < W; j++) terms.push(term([xOf(at, [n, c, i, j])]));
    return sumOf({
      formula: "out[n, c] = 1/(H · W) · Σ_ij x[n, c, i, j]",
      scale: [constant(`1/${H * W}`, 1 / (H * W))],
      terms,
      boxes: [box("window", "x", at.position, [n, c, 0, 0], [n, c, H - 1, W - 1])],
      theory: { page: "average_pooling", formula: "global-avg-forward" },
      says: "The mean of the whole channel.",
    });
  },
  x(at, [n, c]) {
    const { shapeIn: [, H, W] } = at.layer;
    return sumOf({
      formula: "dx[n, c, i, j] = 1/(H · W) · dout[n, c]",
      scale: [constant(`1/${H * W}`, 1 / (H * W))],
      terms: [term([doutOf(at, [n, c])])],
      boxes: [box("upstream", "dout", at.position, [n, c], [n, c])],
      theory: { page: "average_pooling", formula: "global-avg-backward" },
      says: "Every pixel of the channel has the same share.",
    });
  },
};

export const pools = { MaxPool, AvgPool, GlobalAvgPool };
