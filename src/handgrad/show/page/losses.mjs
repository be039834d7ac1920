/**
 * The losses a network may end in: each the mean over the examples of a loss of their own.
 *
 * One is {ofExample(x, y, options), slope(x, y, options), targets(M)}: x is an example's row of M
 * scores in float64, y its `targets(M)` numbers (one label, or M targets); slope gives the M
 * derivatives. `forward` and `backward` make the batch's loss and gradient of them.
 */

import { sigmoid } from "handgrad-page/layers_activations";

function meanOf({ ofExample, slope, targets }) {
  return {
    ofExample,
    slope,
    targets,
    forward(scores, y, options) {
      const N = scores.shape[0];
      let sum = 0;
      for (let n = 0; n < N; n++) sum += ofExample(...rows(scores, y, n, targets), options);
      return sum / N;
    },
    backward(scores, y, options) {
      const [N, M] = scores.shape, dx = scores.zeros();
      for (let n = 0; n < N; n++) {
        const slopes = slope(...rows(scores, y, n, targets), options);
        for (let m = 0; m < M; m++) dx.data[n * M + m] = slopes[m] / N;
      }
      return dx;
    },
  };
}

/** An example's scores and its targets. */
export function rows(scores, y, n, targets) {
  const [N, M] = scores.shape, each = targets(M);
  if (y.length !== N * each) {
    throw new Error(`the loss takes ${each} target(s) for each of ${N} examples; got ${y.length}`);
  }
  const x = Float64Array.from(scores.data.subarray(n * M, (n + 1) * M));
  return [x, Array.from({ length: each }, (_, i) => y[n * each + i])];
}

/** exp(x) / sum(exp(x)); the largest score is subtracted first, so that no exponential overflows. */
export function softmax(x) {
  const largest = x.reduce((a, b) => Math.max(a, b), -Infinity);
  const exponentials = Float64Array.from(x, (one) => Math.exp(one - largest));
  const total = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((one) => one / total);
}

/** What softmax's p is compared with: 1 at the label, or smoothed (1 - s) onehot + s / C. */
export function smoothedTarget(C, label, smoothing = 0) {
  return Float64Array.from({ length: C }, (_, c) => (1 - smoothing) * (c === label) + smoothing / C);
}

// ln(1 + exp(-m)) without overflow.
function softened(margin) {
  return Math.log1p(Math.exp(-Math.abs(margin))) + Math.max(-margin, 0);
}

/** +1 for the label 1, -1 for 0 and -1. */
export function signOf(label) {
  return label === 1 ? 1 : -1;
}

function clip(x, delta) {
  return Math.max(-delta, Math.min(x, delta));
}

const one = () => 1;
const each = (M) => M;

function residuals(ofResidual, slopeOf) {
  return meanOf({
    targets: each,
    ofExample: (x, y, options) =>
      x.reduce((sum, score, m) => sum + ofResidual(score - y[m], options), 0) / x.length,
    slope: (x, y, options) => x.map((score, m) => slopeOf(score - y[m], options) / x.length),
  });
}

export const LOSSES = {
  softmax: meanOf({
    targets: one,
    // -sum(q ln p), with ln p = x - ln(sum(exp(x))) so that no logarithm meets 0.
    ofExample(x, [label], { label_smoothing: s = 0 }) {
      const largest = x.reduce((a, b) => Math.max(a, b), -Infinity);
      const total = x.reduce((sum, score) => sum + Math.exp(score - largest), 0);
      const q = smoothedTarget(x.length, label, s);
      const minusLog = (score) => Math.log(total) - (score - largest);
      return x.reduce((sum, score, c) => sum + (q[c] && q[c] * minusLog(score)), 0);
    },
    slope(x, [label], { label_smoothing: s = 0 }) {
      const q = smoothedTarget(x.length, label, s);
      return softmax(x).map((p, c) => p - q[c]);
    },
  }),
  logistic: meanOf({
    targets: one,
    ofExample: ([x], [label]) => softened(signOf(label) * x),
    slope: ([x], [label]) => [-signOf(label) * sigmoid(-signOf(label) * x)],
  }),
  svm: meanOf({
    targets: one,
    ofExample: ([x], [label]) => Math.max(0, 1 - signOf(label) * x),
    slope: ([x], [label]) => [1 - signOf(label) * x > 0 ? -signOf(label) : 0],
  }),
  multilabel: meanOf({
    targets: each,
    ofExample: (x, y) =>
      x.reduce((sum, score, l) => sum + softened(signOf(y[l]) * score), 0) / x.length,
    slope: (x, y) =>
      x.map((score, l) => (-signOf(y[l]) * sigmoid(-signOf(y[l]) * score)) / x.length),
  }),
  mse: residuals((r) => r * r, (r) => 2 * r),
  mae: residuals(Math.abs, Math.sign),
  huber: residuals(
    (r, { delta = 1 }) => clip(r, delta) * (r - clip(r, delta) / 2),
    (r, { delta = 1 }) => clip(r, delta),
  ),
};
