/**
 * Explanations of the losses: one example's loss, and the gradient of its scores.
 *
 * A loss gives {formula, terms, values, boxes} for both; `at` holds x, the example's scores in
 * float64, y, its targets, n, N, M and the options.
 */

import { sigmoid } from "handgrad-page/layers_activations";
import { LOSSES, signOf, smoothedTarget, softmax } from "handgrad-page/losses";
import { constant, functionOf, shown, shownFactor, sumOf, term } from "handgrad-page/explain_parts";

const score = (at, m) => (
  { array: "out", position: at.position - 1, index: [at.n, m], value: at.x[m] });
const target = (at, m, value = at.y[m]) => ({ array: "y", index: [at.n, m], value });
const over = (count) => constant(`1/${count}`, 1 / count);

const ofSoftmax = (smoothing, which) => (smoothing
  ? { page: "weighted_losses", formula: `smoothing-${which}` }
  : { page: "losses", formula: `softmax-${which}` });

function softmaxGradient(at, m) {
  const { label_smoothing: s = 0 } = at.options, p = softmax(at.x);
  const q = smoothedTarget(at.M, at.y[0], s)[m];
  return sumOf({
    formula: `dx[n, c] = 1/N · (p[n, c] − ${s ? "q" : "onehot(y)"}[n, c])`,
    scale: [over(at.N)],
    terms: [
      term([{ array: "p", index: [at.n, m], value: p[m] }]),
      term([constant("−1", -1), target(at, m, q)], "the label"),
    ],
    values: [{ symbol: "p", formula: "exp(x[n, c]) / Σ exp(x[n, ·])", value: p[m] }],
    theory: ofSoftmax(s, "gradient"),
    says: m === at.y[0]
      ? "The right class is pushed up by what its probability lacks to 1."
      : "A wrong class is pushed down by its probability.",
  });
}

function softmaxLoss(at) {
  const { label_smoothing: s = 0 } = at.options, [label] = at.y;
  const p = softmax(at.x), q = smoothedTarget(at.M, label, s);
  const terms = Array.from(p, (one, c) => {
    const factors = [constant("−q", -q[c]), constant(`ln p[${c}]`, Math.log(one))];
    return term(factors, c === label ? "the label" : undefined);
  });
  const ofClass = (one, c) => ({ symbol: `p[${c}]`, formula: "exp(x[c]) / Σ exp(x)", value: one });
  return {
    formula: s ? "loss = −Σ_c q[c] · ln p[c]" : "loss = −ln p[y]",
    terms: terms.filter((_, c) => q[c] !== 0),
    values: Array.from(p, ofClass),
    theory: ofSoftmax(s, "loss"),
    says: `The label's probability is ${shown(p[label])}.`,
  };
}

const SIGNED = {
  logistic: {
    slope: (margin) => -sigmoid(-margin),
    gradient: "dx[n] = −1/N · y · sigmoid(−y · x[n]), y = ±1",
    loss: "loss = ln(1 + exp(−y · x)), y = ±1",
    written: (margin) => `ln(1 + exp(−${margin}))`,
    theory: ["losses", "logistic-loss", "logistic-gradient"],
    says: "The surer and wronger the score, the larger: the slope is the other class's probability.",
  },
  svm: {
    slope: (margin) => (1 - margin > 0 ? -1 : 0),
    gradient: "dx[n] = −1/N · y · [y · x[n] < 1], y = ±1",
    loss: "loss = max(0, 1 − y · x), y = ±1",
    written: (margin) => `max(0, 1 − ${margin})`,
    theory: ["losses", "hinge", "hinge"],
    says: "Only an example inside the margin counts.",
  },
  multilabel: {
    slope: (margin) => -sigmoid(-margin),
    gradient: "dx[n, l] = −1/(N · L) · y · sigmoid(−y · x[n, l]), y = ±1",
    loss: "loss = 1/L · Σ_l ln(1 + exp(−y[l] · x[l])), y = ±1",
    theory: ["weighted_losses", "multilabel-loss", "multilabel-gradient"],
    says: "Each label is a question of its own.",
  },
};

function signedGradient(name) {
  const one = SIGNED[name];
  return (at, m) => {
    const sign = signOf(at.y[m]), margin = sign * at.x[m];
    const scale = at.M > 1 ? [over(at.N), over(at.M)] : [over(at.N)];
    return sumOf({
      formula: one.gradient,
      scale,
      terms: [term([target(at, m, sign), constant("slope", one.slope(margin))])],
      values: [{ symbol: "y · x", formula: "the margin", value: margin }],
      theory: { page: one.theory[0], formula: one.theory[2] },
      says: one.says,
    });
  };
}

const RESIDUAL = {
  mse: { slope: (r) => 2 * r, gradient: "2 · (x − y)", loss: "(x − y)²", theory: "mse" },
  mae: { slope: Math.sign, gradient: "sign(x − y)", loss: "|x − y|", theory: "mae" },
  huber: {
    slope: (r, { delta = 1 }) => Math.max(-delta, Math.min(r, delta)),
    gradient: "max(−delta, min(x − y, delta))",
    loss: "c · (r − c/2), r = x − y, c = max(−delta, min(r, delta))",
    theory: "huber",
  },
};

function residualGradient(name) {
  const one = RESIDUAL[name];
  return (at, m) => {
    const residual = at.x[m] - at.y[m];
    return sumOf({
      formula: `dx[n, m] = 1/(N · M) · ${one.gradient}`,
      scale: [over(at.N), over(at.M)],
      terms: [term([constant("slope", one.slope(residual, at.options))])],
      values: [
        { symbol: "x", formula: "the prediction", value: at.x[m] },
        { symbol: "y", formula: "the target", value: at.y[m] },
        { symbol: "x − y", formula: "the residual", value: residual },
      ],
      theory: { page: "regression_losses", formula: `${one.theory}-gradient` },
      says: "The prediction is pulled towards the target.",
    });
  };
}

/** The loss of one example in parts: a function of each score and its target. */
function lossInParts(at, name) {
  const signed = SIGNED[name], count = at.M;
  const each = Array.from(at.x, (x, m) => LOSSES[name].ofExample([x], [at.y[m]], at.options));
  const written = each.length > 1
    ? `1/${count} · (${each.slice(0, 6).map(shown).join(" + ")}${each.length > 6 ? " + …" : ""})`
    : signed?.written?.(shownFactor(signOf(at.y[0]) * at.x[0]))
      ?? `of ${shown(at.x[0])} and ${shown(at.y[0])}`;
  const nameOf = (m) => (count > 1 ? `loss of output ${m}` : "loss");
  const page = signed ? signed.theory[0] : "regression_losses";
  return functionOf({
    formula: signed?.loss ?? `loss = 1/M · Σ_m ${RESIDUAL[name].loss}`,
    terms: each.map((_, m) => term([score(at, m), target(at, m)])),
    total: each.reduce((sum, one) => sum + one, 0) / count,
    inNumbers: written,
    values: each.map((one, m) => ({ symbol: nameOf(m), formula: "", value: one })),
    theory: { page, formula: signed ? signed.theory[1] : `${RESIDUAL[name].theory}-loss` },
    says: signed?.says ?? "It grows with the distance of the prediction from the target.",
  });
}

const GRADIENTS = {
  softmax: softmaxGradient,
  ...Object.fromEntries(Object.keys(SIGNED).map((name) => [name, signedGradient(name)])),
  ...Object.fromEntries(Object.keys(RESIDUAL).map((name) => [name, residualGradient(name)])),
};

/** The gradient of score m of an example. */
export function lossGradient(name, at, m) {
  return GRADIENTS[name](at, m);
}

/** The loss of an example. */
export function lossOf(name, at) {
  if (name !== "softmax") return lossInParts(at, name);
  const found = sumOf(softmaxLoss(at)), p = softmax(at.x)[at.y[0]];
  if (found.terms.length > 1) return found;
  return { ...found, numbers: `−ln ${shown(p)} = ${shown(found.total)}` };
}
