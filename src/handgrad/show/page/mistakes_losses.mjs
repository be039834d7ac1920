/**
 * Mistakes of the losses and of the L2 penalty.
 */

import { signOf } from "handgrad-page/losses";

/** The loss, or its gradient, multiplied by a number that depends on the scores. */
const lossTimes = (loss, factor) => ({
  loss,
  pass: "loss",
  plant: (right) => ({ forward: (x, y, options) => right.forward(x, y, options) * factor(x) }),
});
const gradientTimes = (loss, factor) => ({
  loss,
  pass: "gradient",
  plant: (right) => ({
    backward: (x, y, options) => right.backward(x, y, options).map((value) => value * factor(x)),
  }),
});
const countOf = ({ shape: [N] }) => N;

/** The gradient entry by entry: f(right value, n, m, scores, y). */
const gradientBy = (loss, f) => ({
  loss,
  pass: "gradient",
  plant: (right) => ({
    backward(x, y, options) {
      const M = x.shape[1];
      return right.backward(x, y, options).map((value, i) => f(value, Math.floor(i / M), i % M, x, y));
    },
  }),
});

/** The mean of f(0) to f(N - 1). */
const mean = (N, f) =>
  Array.from({ length: N }, (_, n) => f(n)).reduce((sum, one) => sum + one, 0) / N;

/** exp(x) divided by its sums over the examples, each class for itself. */
function softmaxOverExamples(x) {
  const [N, C] = x.shape, p = x.zeros();
  for (let c = 0; c < C; c++) {
    const column = Array.from({ length: N }, (_, n) => x.data[n * C + c]);
    const largest = Math.max(...column), exponentials = column.map((one) => Math.exp(one - largest));
    const total = exponentials.reduce((sum, one) => sum + one, 0);
    exponentials.forEach((one, n) => (p.data[n * C + c] = one / total));
  }
  return p;
}

const overExamples = {
  loss: "softmax",
  pass: "gradient",
  plant: () => ({
    forward(x, y) {
      const p = softmaxOverExamples(x), [N, C] = x.shape;
      return mean(N, (n) => -Math.log(p.data[n * C + y[n]]));
    },
    backward(x, y) {
      const [N, C] = x.shape;
      return softmaxOverExamples(x).map((p, i) => (p - (i % C === y[Math.floor(i / C)])) / N);
    },
  }),
};

/** The right loss with the two classes' labels exchanged. */
const exchanged = (loss) => ({
  loss,
  pass: "gradient",
  plant: (right) => {
    const other = (y) => Array.from(y, (label) => -signOf(label));
    return {
      forward: (x, y, options) => right.forward(x, other(y), options),
      backward: (x, y, options) => right.backward(x, other(y), options),
    };
  },
});

const marginOf = (x, y, n) => signOf(y[n]) * x.data[n];
/** A hinge of another form: the loss and the slope of a margin. */
const hinge = (lossAt, slopeAt) => ({
  loss: "svm",
  pass: "gradient",
  plant: (right) => ({
    ...(lossAt && { forward: (x, y) => mean(x.shape[0], (n) => lossAt(marginOf(x, y, n))) }),
    backward: (x, y, options) => right.backward(x, y, options)
      .map((value, n) => (signOf(y[n]) * slopeAt(marginOf(x, y, n))) / x.shape[0]),
  }),
});

const violators = (x, y) => Array.from(x.data).filter((_, n) => marginOf(x, y, n) < 1).length;

const SOFTMAX = {
  "softmax-sum": lossTimes("softmax", countOf),
  "softmax-loss-sign": lossTimes("softmax", () => -1),
  "softmax-loss-over-classes": lossTimes("softmax", ({ shape: [, C] }) => 1 / C),
  "softmax-dx-sum": gradientTimes("softmax", countOf),
  "softmax-over-classes": gradientTimes("softmax", ({ shape: [, C] }) => 1 / C),
  "softmax-no-onehot": gradientBy("softmax", (value, n, c, x, y) => value + (c === y[n]) / x.shape[0]),
  "softmax-axis-0": overExamples,
};

const BINARY = {
  "logistic-sum": lossTimes("logistic", countOf),
  "logistic-dx-sum": gradientTimes("logistic", countOf),
  "logistic-dx-sign": gradientTimes("logistic", () => -1),
  "logistic-labels-exchanged": exchanged("logistic"),
  "svm-twice": gradientTimes("svm", () => 2),
  "svm-labels-exchanged": exchanged("svm"),
  "svm-no-mask": hinge(null, () => -1),
  "svm-perceptron": hinge((margin) => Math.max(0, -margin), (margin) => (margin < 0 ? -1 : 0)),
  "svm-squared": hinge(
    (margin) => Math.max(0, 1 - margin) ** 2,
    (margin) => -2 * Math.max(0, 1 - margin),
  ),
  "svm-violators-gradient": gradientBy("svm", (value, n, m, x, y) =>
    (value * x.shape[0]) / violators(x, y)),
};

// The table has them for each of its models; they are the same, and softmax's names stand for all.
const PENALTIES = {
  "softmax-no-decay": { penalty: { inGradient: 0 }, pass: "gradient" },
  "softmax-decay-twice": { penalty: { inGradient: 2 }, pass: "gradient" },
  "softmax-half-decay": { penalty: { inGradient: 0.5 }, pass: "gradient" },
  "softmax-no-penalty": { penalty: { inLoss: 0 }, pass: "loss" },
  "softmax-no-half": { penalty: { inLoss: 1 }, pass: "loss" },
  "softmax-quarter": { penalty: { inLoss: 0.25 }, pass: "loss" },
  "softmax-no-reg": { penalty: { inLoss: 0, inGradient: 0 }, pass: "gradient" },
  "softmax-reg-all-biases": { penalty: { own: ["W", "b"] }, pass: "gradient" },
};

export const MISTAKES_OF_LOSSES = { ...SOFTMAX, ...BINARY, ...PENALTIES };
