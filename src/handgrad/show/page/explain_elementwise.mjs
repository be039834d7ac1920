/**
 * Explanations of what acts on each number by itself: activations, dropout, flattening.
 */

import {
  constant, doutOf, functionOf, shownFactor, sumOf, term, xOf,
} from "handgrad-page/explain_parts";
import {
  GELU, LeakyReLU, ReLU, SiLU, normal, sigmoid, tanhForm,
} from "handgrad-page/layers_activations";
import { indexOf, offsetOf } from "handgrad-page/tensor";

/** A number on the way. */
const value = (symbol, formula, number) => ({ symbol, formula, value: number });

const s = (x) => value("s", "1 / (1 + exp(−x))", sigmoid(x));
const phi = (x, { approximate }) => (approximate
  ? value("Φ(x)", "(1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2", tanhForm(x))
  : value("Φ(x)", "(1 + erf(x / √2)) / 2", normal(x)));

// Of each activation: its formula, itself in numbers, its slope's formula, and the derivation's.
const ACTIVATIONS = {
  ReLU: {
    f: (x) => ReLU.value(x),
    formula: "max(0, x)",
    written: (x) => `max(0, ${x})`,
    slope: (x) => ReLU.slope(x),
    slopeFormula: "[x > 0]",
    theory: ["relu", "relu-forward", "relu-backward"],
    says: "A positive number comes through, a negative one becomes 0.",
    saysBack: (x) => (x > 0
      ? "The unit is open (x > 0): the gradient comes through as it is."
      : "The unit is closed (x ≤ 0): nothing comes through."),
  },
  LeakyReLU: {
    f: (x, settings) => LeakyReLU.value(x, settings),
    formula: "max(x, slope · x)",
    written: (x, { slope }) => `max(${x}, ${slope} · ${x})`,
    slope: (x, settings) => LeakyReLU.slope(x, settings),
    slopeFormula: "(x > 0 ? 1 : slope)",
    theory: ["activations", "leaky-forward", "leaky-backward"],
    says: "A positive number comes through, a negative one is multiplied by the slope.",
    saysBack: () => "The gradient is multiplied by 1 where x > 0, and by the slope elsewhere.",
  },
  Sigmoid: {
    f: sigmoid,
    formula: "1 / (1 + exp(−x))",
    written: (x) => `1 / (1 + exp(−${x}))`,
    slope: (x) => sigmoid(x) * sigmoid(-x),
    slopeFormula: "out · (1 − out)",
    theory: ["sigmoid_networks", "sigmoid-forward", "sigmoid-backward"],
    says: "The number is squeezed into (0, 1).",
    backOn: (x) => [value("out", "1 / (1 + exp(−x))", sigmoid(x))],
    saysBack: () => "The slope is at most 1/4: each sigmoid makes the gradient smaller.",
  },
  Tanh: {
    f: Math.tanh,
    formula: "tanh(x)",
    written: (x) => `tanh(${x})`,
    slope: (x) => (1 - Math.tanh(x)) * (1 + Math.tanh(x)),
    slopeFormula: "(1 − out²)",
    theory: ["activations", "tanh-forward", "tanh-backward"],
    says: "The number is squeezed into (−1, 1).",
    backOn: (x) => [value("out", "tanh(x)", Math.tanh(x))],
    saysBack: () => "The slope is 1 at 0 and falls to 0 on both sides.",
  },
  GELU: {
    f: (x, settings) => GELU.value(x, settings),
    formula: "x · Φ(x)",
    written: (x) => `${x} · Φ(${x})`,
    on: (x, settings) => [phi(x, settings)],
    slope: (x, settings) => GELU.slope(x, settings),
    slopeFormula: "(Φ(x) + x · φ(x))",
    theory: ["activations", "gelu-forward", "gelu-backward"],
    tanhTheory: ["activations", "gelu-tanh-forward", "gelu-tanh-backward"],
    says: "The number is multiplied by the probability that a normal number is below it.",
    saysBack: () => "The gradient is multiplied by GELU's slope at x.",
  },
  SiLU: {
    f: (x) => SiLU.value(x),
    formula: "x · s, s = 1 / (1 + exp(−x))",
    written: (x) => `${x} · 1 / (1 + exp(−${x}))`,
    on: (x) => [s(x)],
    slope: (x) => SiLU.slope(x),
    slopeFormula: "s · (1 + x · (1 − s))",
    theory: ["activations", "silu-forward", "silu-backward"],
    says: "The number is multiplied by its own sigmoid.",
    saysBack: () => "The gradient is multiplied by SiLU's slope at x.",
  },
};

function explained(kind) {
  const one = ACTIVATIONS[kind];
  const theory = (settings, which) => {
    const [page, ...formulas] = settings.approximate ? one.tanhTheory : one.theory;
    return { page, formula: formulas[which] };
  };
  return {
    out(at, index) {
      const x = xOf(at, index), { settings } = at.layer;
      return functionOf({
        formula: `out = ${one.formula}`,
        terms: [term([x])],
        total: one.f(x.value, settings),
        inNumbers: one.written(shownFactor(x.value), settings),
        values: one.on?.(x.value, settings),
        theory: theory(settings, 0),
        says: one.says,
      });
    },
    x(at, index) {
      const x = xOf(at, index), { settings } = at.layer;
      const found = one.slope(x.value, settings);
      const slope = { array: "slope", position: at.position, index, value: found };
      const onTheWay = (one.backOn ?? one.on)?.(x.value, settings) ?? [];
      return sumOf({
        formula: `dx = dout · ${one.slopeFormula}`,
        terms: [term([doutOf(at, index), slope])],
        values: [value("x", "the forward pass's input", x.value), ...onTheWay],
        theory: theory(settings, 1),
        says: one.saysBack(x.value),
      });
    },
  };
}

/** What dropout multiplies by: its mask in training, the probability to keep in testing. */
function dropoutFactor(at, index) {
  const { mask, x } = at.step, { keep } = at.layer.settings;
  if (!mask) return { factor: constant("keep", keep), note: undefined };
  const kept = mask[offsetOf(x.shape, index)];
  return {
    factor: { array: "mask", position: at.position, index, value: kept },
    note: kept ? "kept" : "dropped",
  };
}

const Dropout = {
  out(at, index) {
    const { factor, note } = dropoutFactor(at, index);
    return sumOf({
      formula: note ? "out = x · mask, mask = 1 with probability keep" : "out = x · keep",
      terms: [term([xOf(at, index), factor], note)],
      theory: { page: "dropout", formula: note ? "dropout-train" : "dropout-test" },
      says: note
        ? `In training the unit is kept with probability ${at.layer.settings.keep}; here it is ${note}.`
        : "In testing every unit stays, times the probability to keep it: the mean of what training "
          + "gives.",
    });
  },
  x(at, index) {
    const { factor, note } = dropoutFactor(at, index);
    return sumOf({
      formula: note ? "dx = dout · mask" : "dx = dout · keep",
      terms: [term([doutOf(at, index), factor], note)],
      theory: { page: "dropout", formula: note ? "dropout-backward" : "dropout-test" },
      says: note ? `The gradient takes the forward pass's mask: the unit was ${note}.`
        : "The output was x times the probability to keep, and so is the gradient.",
    });
  },
};

/** The index in x of a number in out, or the other way round: only the shape differs. */
const renamed = ([n, ...rest], from, to) => [n, ...indexOf(to, offsetOf(from, rest))];

const Flatten = {
  out: (at, index) => sumOf({
    formula: "out[n, (c · H + i) · W + j] = x[n, c, i, j]",
    terms: [term([xOf(at, renamed(index, at.layer.shapeOut, at.layer.shapeIn))])],
    theory: { page: "fully_connected", formula: "fc-forward" },
    says: "The same number under another index.",
  }),
  x: (at, index) => sumOf({
    formula: "dx[n, c, i, j] = dout[n, (c · H + i) · W + j]",
    terms: [term([doutOf(at, renamed(index, at.layer.shapeIn, at.layer.shapeOut))])],
    theory: { page: "fully_connected", formula: "fc-forward" },
    says: "The same gradient under another index.",
  }),
};

export const elementwise = {
  ...Object.fromEntries(Object.keys(ACTIVATIONS).map((kind) => [kind, explained(kind)])),
  Dropout,
  Flatten,
};
