/**
 * Mistakes of convolution and max pooling.
 */

import { eachWindow } from "handgrad-page/layers_pool";
import { indexOf } from "handgrad-page/tensor";
import {
  backwardOf, forwardOf, ignoringUpstream, onlyWhere, scaled,
} from "handgrad-page/mistakes_parts";

/** Each filter turned by half a turn. */
function flipped(W) {
  const taps = W.shape[2] * W.shape[3];
  return W.map((_, i) => W.data[i - (i % taps) + taps - 1 - (i % taps)]);
}

/** Each filter's rows and columns exchanged; they are square here. */
function turned(W) {
  const size = W.shape[2], taps = size * size;
  return W.map((_, i) => {
    const tap = i % taps;
    return W.data[i - tap + (tap % size) * size + Math.floor(tap / size)];
  });
}

/** dx by the pixel it is of: f(value, row, column, i), i the offset. */
const byPixel = (dx, f) => dx && dx.map((value, i) => {
  const [, , H, W] = dx.shape;
  return f(value, Math.floor(i / W) % H, i % W, i);
});

const changedDx = (f) => backwardOf("Conv", (found, at) =>
  ({ dx: byPixel(found.dx, (...pixel) => f(found.dx, at, ...pixel)) }));

const withW = (change) => forwardOf("Conv", (again, { own }) =>
  again({ own: { ...own, W: change(own.W) } }));

const backwardWithW = (change) => backwardOf("Conv", (found, { own, again }) =>
  ({ dx: again({ own: { ...own, W: change(own.W) } }).dx }));

/** One gradient of some of dout alone. */
const ofSome = (which, chosen) => backwardOf("Conv", (found, { dout, again }) =>
  ({ [which]: again({ dout: onlyWhere(dout, (at) => chosen(at, dout.shape)) })[which] }));

/** The output of some channels of x alone. */
const ofChannel = (chosen) => forwardOf("Conv", (again, { x }) =>
  // The backward pass reads x itself, and none of the patches of this.
  ({ ...again({ x: onlyWhere(x, ({ c }) => c === chosen(x.shape[1])) }), x, patches: null }));

const insideOnly = changedDx((dx, { layer }, value, a, b) => {
  const { settings: { size }, shapeOut: [, OH, OW] } = layer;
  return a >= size - 1 && a < OH && b >= size - 1 && b < OW ? value : 0;
});

const shiftedDx = changedDx((dx, at, value, a, b, i) => (a && b ? dx.data[i - dx.shape[3] - 1] : 0));

/** The tap with which the last window that covers a pixel reads it along one axis, or -1. */
function lastTap(pixel, { size, stride, padding }, count) {
  for (let tap = size - 1; tap >= 0; tap--) {
    const window = (pixel + padding - tap) / stride;
    if (Number.isInteger(window) && window >= 0 && window < count) return tap;
  }
  return -1;
}

/** dx of that one tap: what is left where taps overwrite each other instead of adding up. */
const overwritten = changedDx((dx, { dout, own: { W }, layer }, value, a, b, i) => {
  const { settings, shapeOut: [F, OH, OW] } = layer, { stride, padding } = settings;
  const [n, c] = indexOf(dx.shape, i);
  const k = lastTap(a, settings, OH), l = lastTap(b, settings, OW);
  if (k < 0 || l < 0) return 0;
  let sum = 0;
  for (let f = 0; f < F; f++) {
    sum += dout.at([n, f, (a + padding - k) / stride, (b + padding - l) / stride]) * W.at([f, c, k, l]);
  }
  return sum;
});

const CONVOLUTION = {
  "conv-flipped": withW(flipped),
  "conv-filters-transposed": withW(turned),
  "conv-channels-averaged": withW((W) => W.map((value) => value / W.shape[1])),
  "conv-one-channel": ofChannel(() => 0),
  "conv-last-channel": ofChannel((C) => C - 1),
  "conv-dx-kernel": backwardWithW(flipped),
  "conv-dx-filters-transposed": backwardWithW(turned),
  "conv-dw-flipped": backwardOf("Conv", ({ W }) => ({ W: flipped(W) })),
  "conv-dw-transposed": backwardOf("Conv", ({ W }) => ({ W: turned(W) })),
  "conv-dw-over-n": backwardOf("Conv", scaled("W", ({ dout }) => 1 / dout.shape[0])),
  "conv-dw-one-example": ofSome("W", ({ n }, [N]) => n === N - 1),
  "conv-dw-first-example": ofSome("W", ({ n }) => n === 0),
  "conv-dw-upstream": backwardOf("Conv", ignoringUpstream("W")),
  "conv-dx-no-channels-sum": ofSome("dx", ({ c }) => c === 0),
  "conv-dx-last-filter": ofSome("dx", ({ c }, [, F]) => c === F - 1),
  "conv-dx-sign": backwardOf("Conv", scaled("dx", -1)),
  "conv-dx-upstream": backwardOf("Conv", ignoringUpstream("dx")),
  "conv-dx-shifted": shiftedDx,
  "conv-dx-borders": insideOnly,
  "conv-dx-last-tap": overwritten,
};

/** Another dx of max pooling: share(pixel, largest, how many are largest, how many there are). */
const poolBy = (share) => backwardOf("MaxPool", (found, { dout, step: { x, winners }, layer }) => {
  const { size } = layer.settings, W = x.shape[3], dx = x.zeros();
  eachWindow(x.shape[0], layer, (at, first) => {
    const pixels = Array.from({ length: size * size }, (_, p) =>
      first + Math.floor(p / size) * W + (p % size));
    const isLargest = (i) => x.data[i] === x.data[winners[at]];
    const tied = pixels.filter(isLargest).length;
    for (const i of pixels) dx.data[i] += dout.data[at] * share(isLargest(i), tied, pixels.length);
  });
  return { dx };
});

/** Another winner of each window: better(value, best) by those that come later in it. */
const wonBy = (better) => forwardOf("MaxPool", (again, { x, layer }) => {
  const { size } = layer.settings, W = x.shape[3], step = again();
  eachWindow(x.shape[0], layer, (at, first) => {
    let winner = first;
    for (let p = 1; p < size * size; p++) {
      const i = first + Math.floor(p / size) * W + (p % size);
      if (better(x.data[i], x.data[winner])) winner = i;
    }
    step.winners[at] = winner;
    step.out.data[at] = x.data[winner];
  });
  return step;
});

const POOLING = {
  "pool-minimum": wonBy((value, best) => value < best),
  "pool-last-tie": wonBy((value, best) => value >= best),
  "pool-ties-paid": poolBy((isLargest) => +isLargest),
  "pool-ties-shared": poolBy((isLargest, tied) => isLargest / tied),
  "pool-all-pixels": poolBy(() => 1),
  "pool-all-pixels-share": poolBy((isLargest, tied, pixels) => 1 / pixels),
  "pool-overlap": backwardOf("MaxPool", (found, { dout, step: { x, winners } }) => {
    const dx = x.zeros();
    winners.forEach((winner, at) => (dx.data[winner] = dout.data[at]));
    return { dx };
  }),
  "pool-upstream": backwardOf("MaxPool", ignoringUpstream("dx")),
};

export const MISTAKES_OF_IMAGES = { ...CONVOLUTION, ...POOLING };
