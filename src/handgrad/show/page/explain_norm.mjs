/**
 * Explanations of batch and layer normalisation, with their means and variances.
 */

import {
  channelBox, constant, doutOf, exampleBox, parameter, shown, sumOf, term, xOf,
} from "handgrad-page/explain_parts";
import { channelsOf, indexOf, offsetOf, sizeOf } from "handgrad-page/tensor";

/** Offsets of all numbers that are normalised together with the one at an index. */
function groupOf(at, index) {
  const { shape } = at.step.x, offsets = [];
  if (at.layer.kind === "LayerNorm") {
    const D = sizeOf(shape.slice(1));
    for (let d = 0; d < D; d++) offsets.push(index[0] * D + d);
    return offsets;
  }
  const [N, C, P] = channelsOf(shape);
  for (let n = 0; n < N; n++) {
    for (let p = 0; p < P; p++) offsets.push((n * C + index[1]) * P + p);
  }
  return offsets;
}

/** Mean and variance of the group of an entry: its own, or a batch norm's running ones in testing. */
function statistics(at, index) {
  const { eps } = at.layer.settings, { x } = at.step, offsets = groupOf(at, index);
  const tested = at.layer.kind === "BatchNorm" && at.trace.mode === "test";
  let mean, variance;
  if (tested) {
    mean = at.own.running_mean.data[index[1]];
    variance = at.own.running_var.data[index[1]];
  } else {
    mean = offsets.reduce((sum, i) => sum + x.data[i], 0) / offsets.length;
    variance = offsets.reduce((sum, i) => sum + (x.data[i] - mean) ** 2, 0) / offsets.length;
  }
  const inverseStd = 1 / Math.sqrt(variance + eps);
  const hat = (i) => (x.data[i] - mean) * inverseStd;
  return { offsets, tested, mean, variance, inverseStd, hat };
}

function values(at, index, { offsets, tested, mean, variance, inverseStd }) {
  const { eps } = at.layer.settings, m = offsets.length;
  const [meanIs, varIs] = tested
    ? [at.layer.names.running_mean, at.layer.names.running_var]
    : [`(Σ x) / ${m}`, `(Σ (x − mean)²) / ${m}`];
  return [
    { symbol: "mean", formula: meanIs, value: mean },
    { symbol: "var", formula: varIs, value: variance },
    { symbol: "std", formula: `√(var + ${eps})`, value: 1 / inverseStd },
  ];
}

/** The index of gamma's and beta's entry that belongs to an entry of x. */
function parameterIndex(at, index) {
  return at.layer.kind === "LayerNorm" ? index.slice(1) : [index[1]];
}

function box(at, role, array, index) {
  return at.layer.kind === "LayerNorm"
    ? exampleBox(role, array, at.position, at.layer.shapeIn, index[0])
    : channelBox(role, array, at.position, at.step.x.shape, index[1]);
}

const xHat = (at, index, value) => ({ array: "x_hat", position: at.position, index, value });

const PAGES = {
  BatchNorm: {
    page: "batch_normalisation",
    forward: "bn-forward",
    test: "bn-test",
    parameters: "bn-parameters",
    dx: "bn-dx-standard",
  },
  LayerNorm: {
    page: "layer_normalisation",
    forward: "ln-forward",
    parameters: "ln-parameters",
    dx: "ln-dx",
  },
};

function theoryOf(at, formula) {
  const { page, [formula]: label } = PAGES[at.layer.kind];
  return { page, formula: label };
}

function out(at, index) {
  const found = statistics(at, index), own = parameterIndex(at, index);
  const { names, kind } = at.layer, hat = found.hat(offsetOf(at.step.x.shape, index));
  const together = kind === "LayerNorm" ? "the example" : "the channel, over all examples of the batch";
  return sumOf({
    formula: `out = ${names.gamma} · x_hat + ${names.beta}, x_hat = (x − mean) / √(var + eps)`,
    terms: [
      term([parameter(at, "gamma", own), xHat(at, index, hat)]),
      term([parameter(at, "beta", own)], "beta"),
    ],
    values: [
      { symbol: "x", formula: "the input", value: xOf(at, index).value },
      ...values(at, index, found),
      { symbol: "x_hat", formula: "(x − mean) / std", value: hat },
    ],
    boxes: found.tested ? [] : [box(at, "channel", "x", index)],
    theory: theoryOf(at, found.tested ? "test" : "forward"),
    says: found.tested
      ? "In testing the running mean and variance of training are taken: the answer does not depend "
        + "on the other examples."
      : `Mean and variance are those of ${together}: ${found.offsets.length} numbers.`,
  });
}

/** dgamma and dbeta: sums over the group of a channel, or over the examples of layer norm. */
function parameterGradient(own) {
  return (at, index) => {
    const layered = at.layer.kind === "LayerNorm", { shape } = at.step.x, N = at.trace.N;
    const first = layered ? [0, ...index] : [0, index[0], ...shape.slice(2).map(() => 0)];
    const offsets = layered
      ? Array.from({ length: N }, (_, n) => offsetOf(shape, [n, ...index]))
      : groupOf(at, first);
    // A channel has one mean; of layer norm each example has its own.
    const shared = layered ? null : statistics(at, first);
    const terms = offsets.map((i) => {
      const where = indexOf(shape, i), dout = doutOf(at, where);
      if (own === "beta") return term([dout]);
      return term([dout, xHat(at, where, (shared ?? statistics(at, where)).hat(i))]);
    });
    return sumOf({
      formula: `d${at.layer.names[own]} = Σ dout${own === "gamma" ? " · x_hat" : ""}`,
      terms,
      values: shared ? values(at, first, shared) : [],
      boxes: layered ? [] : [channelBox("upstream", "dout", at.position, shape, index[0])],
      theory: theoryOf(at, "parameters"),
      says: own === "gamma"
        ? `gamma multiplies x_hat in ${offsets.length} numbers: its gradient is the sum of `
          + "dout · x_hat over them."
        : `beta is added to ${offsets.length} numbers: its gradient is the sum of dout over them.`,
    });
  };
}

/** dx in three parts: the upstream gradient, the way through the mean, the way through the variance. */
function dx(at, index) {
  const found = statistics(at, index), m = found.offsets.length;
  const { shape } = at.step.x, { kind, names } = at.layer, i = offsetOf(shape, index);
  const gammaOf = (offset) => at.own.gamma.at(parameterIndex(at, indexOf(shape, offset)));
  const layered = kind === "LayerNorm";
  // g is dout in batch norm, where gamma is one factor of all; gamma dout in layer norm.
  const g = (offset) => at.dout.data[offset] * (layered ? gammaOf(offset) : 1);
  const sum = found.offsets.reduce((total, offset) => total + g(offset), 0);
  const sumHat = found.offsets.reduce((total, offset) => total + g(offset) * found.hat(offset), 0);
  const gamma = parameter(at, "gamma", parameterIndex(at, index));
  const std = constant(`1/${shown(1 / found.inverseStd)}`, found.inverseStd);
  const hat = xHat(at, index, found.hat(i)), share = constant("−1/m", -1 / m);
  const [first, second] = layered ? ["Σ g", "Σ g · x_hat"] : ["dbeta", "dgamma"];
  const [firstIs, secondIs] = layered
    ? ["Σ gamma · dout", "Σ gamma · dout · x_hat"]
    : ["Σ dout", "Σ dout · x_hat"];
  const through = found.tested ? [] : [
    term([share, constant(first, sum)], "through the mean"),
    term([share, hat, constant(second, sumHat)], "through the variance"),
  ];
  const own = layered ? [gamma, doutOf(at, index)] : [doutOf(at, index)];
  const three = layered
    ? "dx = 1/std · (g − mean(g) − x_hat · mean(g · x_hat)), g = gamma · dout"
    : `dx = ${names.gamma} / std · (dout − dbeta/m − x_hat · dgamma/m)`;
  return sumOf({
    formula: found.tested ? `dx = ${names.gamma} / std · dout` : three,
    scale: layered ? [std] : [gamma, std],
    terms: [term(own), ...through],
    values: [
      ...values(at, index, found),
      ...(found.tested ? [] : [
        { symbol: first, formula: firstIs, value: sum },
        { symbol: second, formula: secondIs, value: sumHat },
        { symbol: "m", formula: "how many numbers are normalised together", value: m },
      ]),
    ],
    boxes: [box(at, "upstream", "dout", index)],
    theory: theoryOf(at, found.tested ? "test" : "dx"),
    says: found.tested
      ? "In testing mean and variance are constants: only the factor is left."
      : "The number reaches the loss in three ways: by itself, and through the mean and the variance "
        + `of all ${m}.`,
  });
}

const norm = { out, x: dx, gamma: parameterGradient("gamma"), beta: parameterGradient("beta") };

export const norms = { BatchNorm: norm, LayerNorm: norm };
