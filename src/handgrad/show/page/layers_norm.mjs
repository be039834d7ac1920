/**
 * Batch normalisation, one mean and variance a channel, and layer normalisation, one an example.
 *
 * Both compute x_hat = (x - mean) / sqrt(var + eps) and out = gamma x_hat + beta. Mean and variance
 * (over N, not N - 1) are summed in float64.
 */

import { Tensor, channelsOf, sizeOf } from "handgrad-page/tensor";

/**
 * Batch normalisation of these parts; a mistake is another part.
 *
 * @param {object} [parts]
 * @param {(x, own, mode) => {mean, variance}} [parts.statistics]  what it normalises by
 * @param {(variance: number, eps: number) => number} [parts.deviation]  what it divides by
 * @param {(own, found, momentum: number, x) => object} [parts.moved]  the running statistics after
 *   a training batch with these statistics
 */
export function batchNorm({
  statistics = chosenStatistics, deviation = rootOf, moved = movedStatistics,
} = {}) {
  return { ...BATCH_NORM, forward: forwardBy(statistics, deviation, moved) };
}

function forwardBy(statistics, deviation, moved) {
  return (x, { settings: { momentum, eps } }, own, { mode }) => {
    const found = statistics(x, own, mode);
    const inverseStd = found.variance.map((one) => 1 / deviation(one, eps));
    const step = { x, ...found, inverseStd, ...normalised(x, found.mean, inverseStd, own) };
    return { ...step, moved: mode === "train" ? moved(own, found, momentum, x) : null };
  };
}

/** The batch's statistics in training, the running ones in testing. */
function chosenStatistics(x, own, mode) {
  return mode === "train" ? channelStatistics(x) : runningStatistics(own);
}

export function runningStatistics({ running_mean, running_var }) {
  return { mean: Float64Array.from(running_mean.data), variance: Float64Array.from(running_var.data) };
}

const rootOf = (variance, eps) => Math.sqrt(variance + eps);

/** running = momentum * running + (1 - momentum) * the batch's. */
export function movedStatistics({ running_mean, running_var }, { mean, variance }, momentum) {
  const towards = (running, batch) =>
    running.map((old, c) => momentum * old + (1 - momentum) * batch[c]);
  return { running_mean: towards(running_mean, mean), running_var: towards(running_var, variance) };
}

const BATCH_NORM = {
  parameterShapes: (settings, [C]) => ({
    gamma: [C], beta: [C], running_mean: [C], running_var: [C],
  }),

  outputShape: (settings, shape) => shape,

  // dgamma = sum dout x_hat, dbeta = sum dout; in training dx = gamma / sqrt(var + eps) *
  // (dout - dbeta / m - x_hat dgamma / m), m numbers a channel; in testing the first term alone.
  backward(dout, { x, xHat, inverseStd, moved }, layer, { gamma, beta }) {
    const dgamma = gamma.zeros(), dbeta = beta.zeros(), dx = x.zeros();
    const [N, C, P] = channelsOf(x.shape), from = dout.data, hat = xHat.data, to = dx.data;
    for (let c = 0; c < C; c++) {
      let sum = 0, sumHat = 0;
      for (let n = 0; n < N; n++) {
        for (let i = (n * C + c) * P, end = i + P; i < end; i++) {
          sum += from[i];
          sumHat += from[i] * hat[i];
        }
      }
      dgamma.data[c] = sumHat;
      dbeta.data[c] = sum;
      const factor = gamma.data[c] * inverseStd[c];
      const mean = moved ? sum / (N * P) : 0, meanHat = moved ? sumHat / (N * P) : 0;
      for (let n = 0; n < N; n++) {
        for (let i = (n * C + c) * P, end = i + P; i < end; i++) {
          to[i] = factor * (from[i] - mean - hat[i] * meanHat);
        }
      }
    }
    return { dx, gamma: dgamma, beta: dbeta };
  },
};

/** Mean and variance of each channel. */
export function channelStatistics(x) {
  const [N, C, P] = channelsOf(x.shape), from = x.data;
  const mean = new Float64Array(C), variance = new Float64Array(C);
  for (let c = 0; c < C; c++) {
    let sum = 0, squares = 0;
    // From the first number on: the mean of what is constant is then that, to the last bit.
    const first = from[c * P];
    for (let n = 0; n < N; n++) {
      for (let i = (n * C + c) * P, end = i + P; i < end; i++) sum += from[i] - first;
    }
    const centre = first + sum / (N * P);
    for (let n = 0; n < N; n++) {
      for (let i = (n * C + c) * P, end = i + P; i < end; i++) squares += (from[i] - centre) ** 2;
    }
    mean[c] = centre;
    variance[c] = squares / (N * P);
  }
  return { mean, variance };
}

function normalised(x, mean, inverseStd, { gamma, beta }) {
  const [N, C, P] = channelsOf(x.shape), xHat = x.zeros(), out = x.zeros();
  const from = x.data, hat = xHat.data, to = out.data;
  for (let row = 0; row < N * C; row++) {
    const c = row % C, centre = mean[c], scale = inverseStd[c], g = gamma.data[c], b = beta.data[c];
    for (let i = row * P, end = i + P; i < end; i++) {
      hat[i] = (from[i] - centre) * scale;
      to[i] = g * hat[i] + b;
    }
  }
  return { xHat, out };
}

/** One mean and variance for each feature, or each channel of images; running ones in testing. */
export const BatchNorm = batchNorm();

/** One mean and variance for each example, over all its numbers; the same in testing. */
export const LayerNorm = {
  parameterShapes: (settings, shape) => ({ gamma: shape, beta: shape }),

  outputShape: (settings, shape) => shape,

  forward(x, { settings: { eps } }, { gamma, beta }) {
    const N = x.shape[0], D = gamma.size;
    // An example is a channel of its own when examples and channels change places.
    const { mean, variance } = channelStatistics(new Tensor([1, N, D], x.data));
    const inverseStd = variance.map((one) => 1 / Math.sqrt(one + eps));
    const xHat = x.map((one, i) => {
      const n = Math.floor(i / D);
      return (one - mean[n]) * inverseStd[n];
    });
    const out = xHat.map((one, i) => gamma.data[i % D] * one + beta.data[i % D]);
    return { x, out, xHat, mean, variance, inverseStd };
  },

  // With g = gamma dout, and means over an example's numbers:
  // dx = (g - mean(g) - x_hat mean(g x_hat)) / sqrt(var + eps).
  backward(dout, { x, xHat, inverseStd }, layer, { gamma, beta }) {
    const dgamma = gamma.zeros(), dbeta = beta.zeros(), dx = x.zeros();
    const N = x.shape[0], D = sizeOf(x.shape.slice(1));
    for (let n = 0; n < N; n++) {
      let mean = 0, meanHat = 0;
      for (let d = 0; d < D; d++) {
        const i = n * D + d, g = gamma.data[d] * dout.data[i];
        dgamma.data[d] += dout.data[i] * xHat.data[i];
        dbeta.data[d] += dout.data[i];
        mean += g / D;
        meanHat += (g * xHat.data[i]) / D;
      }
      for (let d = 0; d < D; d++) {
        const i = n * D + d, g = gamma.data[d] * dout.data[i];
        dx.data[i] = (g - mean - xHat.data[i] * meanHat) * inverseStd[n];
      }
    }
    return { dx, gamma: dgamma, beta: dbeta };
  },
};
