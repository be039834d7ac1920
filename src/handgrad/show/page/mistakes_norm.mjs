/**
 * Mistakes of batch normalisation.
 */

import {
  batchNorm, channelStatistics, movedStatistics, runningStatistics,
} from "handgrad-page/layers_norm";
import { backwardOf, ignoringUpstream, scaled } from "handgrad-page/mistakes_parts";
import { channelsOf } from "handgrad-page/tensor";

/** The right layer but for some of batchNorm's parts. */
const made = (parts) => ({
  kind: "BatchNorm", pass: "forward", plant: () => ({ forward: batchNorm(parts).forward }),
});

const numbersOf = ({ shape }) => channelsOf(shape)[0] * channelsOf(shape)[2];

/** Wrong statistics in training alone. */
const inTraining = (statistics) => ({
  statistics: (x, own, mode) => (mode === "train" ? statistics(x, own) : runningStatistics(own)),
});

function unbiased(x) {
  const found = channelStatistics(x), m = numbersOf(x);
  return { ...found, variance: found.variance.map((one) => (one * m) / (m - 1)) };
}

function ofAllChannels(x) {
  const [, C] = x.shape;
  const { mean, variance } = channelStatistics(x.reshaped([x.size, 1]));
  return { mean: new Float64Array(C).fill(mean[0]), variance: new Float64Array(C).fill(variance[0]) };
}

/** Other gamma or beta in the forward pass: out = gamma x_hat + beta. */
const forwardWith = (changes) => ({
  kind: "BatchNorm",
  pass: "forward",
  plant: (right) => ({
    forward: (x, layer, own, context) => right.forward(x, layer, { ...own, ...changes(own) }, context),
  }),
});

/** dx plus what a missing part of it has taken away: lost(xHat, dbeta / m, dgamma / m) * gamma/std. */
const dxWithout = (lost) => backwardOf("BatchNorm", (found, { step, own }) => {
  if (!step.moved) return {};
  const [, C, P] = channelsOf(step.x.shape), m = numbersOf(step.x);
  const dx = found.dx.map((value, i) => {
    const c = Math.floor(i / P) % C, factor = own.gamma.data[c] * step.inverseStd[c];
    return value + factor * lost(step.xHat.data[i], found.beta.data[c] / m, found.gamma.data[c] / m);
  });
  return { dx };
});

const overNumbers = ({ step }) => 1 / numbersOf(step.x);

export const MISTAKES_OF_NORMS = {
  "bn-test-batch-statistics": made({ statistics: channelStatistics }),
  // By the running statistics, which the batch has moved already.
  "bn-train-running-statistics": {
    kind: "BatchNorm",
    pass: "forward",
    plant: () => ({
      forward(x, layer, own, context) {
        const moved = (statistics) => movedStatistics(own, statistics, layer.settings.momentum);
        const after = () => runningStatistics(moved(channelStatistics(x)));
        const parts = { ...inTraining(after), moved: () => moved(channelStatistics(x)) };
        return batchNorm(parts).forward(x, layer, own, context);
      },
    }),
  },
  "bn-statistics-lost": made({ moved: () => ({}) }),
  "bn-momentum-swapped": made({
    moved: (own, found, momentum) => movedStatistics(own, found, 1 - momentum),
  }),
  "bn-unbiased": made(inTraining(unbiased)),
  "bn-running-unbiased": made({
    moved: (own, found, momentum, x) => movedStatistics(own, unbiased(x), momentum),
  }),
  "bn-eps-outside": made({ deviation: (variance, eps) => Math.sqrt(variance) + eps }),
  "bn-no-eps": made({ deviation: Math.sqrt }),
  "bn-divides-by-variance": made({ deviation: (variance, eps) => variance + eps }),
  "bn-global-mean": made(inTraining(ofAllChannels)),
  "bn-no-beta": forwardWith(({ beta }) => ({ beta: beta.zeros() })),
  "bn-no-gamma-forward": forwardWith(({ gamma }) => ({ gamma: gamma.map(() => 1) })),
  "bn-statistics-constant": dxWithout((hat, mean, meanHat) => mean + hat * meanHat),
  "bn-no-mean-term": dxWithout((hat, mean) => mean),
  "bn-no-variance-term": dxWithout((hat, mean, meanHat) => hat * meanHat),
  "bn-zero-dx": backwardOf("BatchNorm", (found, { step }) =>
    (step.moved ? { dx: found.dx.zeros() } : {})),
  "bn-test-backward": backwardOf("BatchNorm", (found, { step, again }) =>
    ({ dx: again({ step: { ...step, moved: {} } }).dx })),
  "bn-no-gamma": backwardOf("BatchNorm", (found, { own, again }) =>
    ({ dx: again({ own: { ...own, gamma: own.gamma.map(() => 1) } }).dx })),
  "bn-dgamma-mean": backwardOf("BatchNorm", scaled("gamma", overNumbers)),
  "bn-dgamma-upstream": backwardOf("BatchNorm", ignoringUpstream("gamma")),
  "bn-dbeta-mean": backwardOf("BatchNorm", scaled("beta", overNumbers)),
  "bn-dbeta-upstream": backwardOf("BatchNorm", ignoringUpstream("beta")),
  "bn-dx-upstream": backwardOf("BatchNorm", ignoringUpstream("dx")),
};
