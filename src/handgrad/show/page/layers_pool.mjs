/**
 * Max pooling, average pooling, and the average of a whole image.
 */

import { zerosLike } from "handgrad-page/tensor";

function outputShape({ size, stride }, [C, H, W]) {
  const step = stride ?? size;
  return [C, 1 + Math.floor((H - size) / step), 1 + Math.floor((W - size) / step)];
}

/**
 * Call f(offset in out, offset of its window's first pixel in x) for each window of N images.
 */
export function eachWindow(N, { shapeIn: [C, H, W], shapeOut: [, OH, OW], settings }, f) {
  const step = settings.stride ?? settings.size;
  for (let channel = 0, at = 0; channel < N * C; channel++) {
    for (let i = 0; i < OH; i++) {
      for (let j = 0; j < OW; j++, at++) f(at, (channel * H + i * step) * W + j * step);
    }
  }
}

/** Where the largest of size x size pixels stands; NaN is larger than all. */
function largestOf(from, first, size, W) {
  let winner = first, largest = from[first];
  for (let k = 0; k < size; k++) {
    for (let i = first + k * W, end = i + size; i < end; i++) {
      const value = from[i];
      if (value > largest || (value !== value && largest === largest)) {
        winner = i;
        largest = value;
      }
    }
  }
  return winner;
}

/** The largest pixel of each window; of several that are largest, the first in reading order. */
export const MaxPool = {
  outputShape,

  forward(x, layer) {
    const { shapeIn: [C, H, W], shapeOut: [, OH, OW], settings: { size, stride } } = layer;
    const step = stride ?? size, N = x.shape[0], from = x.data;
    const out = zerosLike(x, [N, C, OH, OW]), winners = new Int32Array(out.size);
    for (let channel = 0, at = 0; channel < N * C; channel++) {
      for (let i = 0; i < OH; i++) {
        for (let j = 0; j < OW; j++, at++) {
          const first = (channel * H + i * step) * W + j * step;
          const winner = largestOf(from, first, size, W);
          winners[at] = winner;
          out.data[at] = from[winner];
        }
      }
    }
    return { x, out, winners };
  },

  // A pixel that wins in several windows gets the sum.
  backward(dout, { x, winners }) {
    const dx = x.zeros();
    for (let i = 0; i < winners.length; i++) dx.data[winners[i]] += dout.data[i];
    return { dx };
  },
};

/** The mean of each window. */
export const AvgPool = {
  outputShape,

  forward(x, layer) {
    const { size } = layer.settings, W = x.shape[3];
    const out = zerosLike(x, [x.shape[0], ...layer.shapeOut]);
    eachWindow(x.shape[0], layer, (at, first) => {
      let sum = 0;
      for (let k = 0; k < size; k++) {
        for (let l = 0; l < size; l++) sum += x.data[first + k * W + l];
      }
      out.data[at] = sum / (size * size);
    });
    return { x, out };
  },

  backward(dout, { x }, layer) {
    const { size } = layer.settings, W = x.shape[3], dx = x.zeros();
    eachWindow(x.shape[0], layer, (at, first) => {
      const share = dout.data[at] / (size * size);
      for (let k = 0; k < size; k++) {
        for (let l = 0; l < size; l++) dx.data[first + k * W + l] += share;
      }
    });
    return { dx };
  },
};

/** The mean of each channel over the whole image: (C, H, W) to (C). */
export const GlobalAvgPool = {
  outputShape: (settings, [C]) => [C],

  forward(x, { shapeIn: [C, H, W] }) {
    const out = zerosLike(x, [x.shape[0], C]), P = H * W;
    for (let i = 0; i < out.size; i++) {
      let sum = 0;
      for (let p = i * P; p < (i + 1) * P; p++) sum += x.data[p];
      out.data[i] = sum / P;
    }
    return { x, out };
  },

  backward(dout, { x }, { shapeIn: [, H, W] }) {
    const P = H * W;
    return { dx: x.map((one, i) => dout.data[Math.floor(i / P)] / P) };
  },
};
