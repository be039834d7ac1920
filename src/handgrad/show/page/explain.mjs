/**
 * Where one number of a forward or backward pass comes from: the formula, its numbers, its sources.
 *
 * An explanation is data; nothing here knows how it is shown. Each is computed in float64 from the
 * numbers of the trace, by the formula of the derivation and never by the code it explains, so
 * that a planted mistake shows as a difference between `total` and `value`.
 *
 * @typedef {object} Factor  A number that the formula reads.
 * @property {string} array  which: "x", "out", "dout", "x_hat", "mask", "p", "y", a parameter's
 *   name in the network ("W1", "b1", "gamma1"), "slope" for an activation's derivative at its x, or ""
 *   for a plain constant
 * @property {number} [position]  of the layer whose x, out, dout or x_hat it is; the x of layer i
 *   is the out of layer i - 1, and the dout of layer i is the dx of layer i + 1
 * @property {number[]} [index]  its entry there
 * @property {number} value
 * @property {string} [text]  of a constant what it is: "1/N", "reg"
 *
 * @typedef {object} Term
 * @property {Factor[]} factors
 * @property {number} product  of the factors' values
 * @property {string} [note]  "padding", "dropped", "the winner"
 *
 * @typedef {object} Value  A number on the way, such as a batch's mean.
 * @property {string} symbol  "mean", "var", "dgamma"
 * @property {string} formula
 * @property {number} value
 *
 * @typedef {object} Box  A region of an array that the number depends on, for highlighting.
 * @property {string} array  as in Factor
 * @property {number} [position]
 * @property {number[]} from  first index
 * @property {number[]} to  last index, inclusive
 * @property {string} role  "patch", "filter", "window", "winner", "upstream", "row", "column"
 *
 * @typedef {object} Explanation
 * @property {string} name  "out[0, 3]", "dW1[5, 2]"
 * @property {string} formula  in the code's symbols: "out[n, m] = Σ_d x[n, d] W1[d, m] + b1[m]"
 * @property {string} numbers  the formula with its numbers in place, the longest sums shortened
 * @property {"sum" | "max" | "function"} operation  how total comes of the terms
 * @property {Term[]} terms  of a sum its summands; of a max its candidates; of a function its inputs
 * @property {Factor[]} scale  factors that the sum of the terms is multiplied by; often none
 * @property {Value[]} values  the numbers on the way
 * @property {Box[]} boxes
 * @property {number} total  by the formula
 * @property {?number} value  the entry as the network's arithmetic gave it: total up to rounding,
 *   unless a mistake is planted; null where that has given the array another shape
 * @property {{page: string, formula: string}} theory  a name in `handgrad.theory.pages.ORDER` and a
 *   label of a formula on it: {page: "fully_connected", formula: "fc-gradients"}
 * @property {string} says  one sentence in plain words
 */

import { affine } from "handgrad-page/explain_affine";
import { elementwise } from "handgrad-page/explain_elementwise";
import { lossGradient, lossOf } from "handgrad-page/explain_losses";
import { norms } from "handgrad-page/explain_norm";
import { pools } from "handgrad-page/explain_pool";
import { LOSSES, rows } from "handgrad-page/losses";

// Of each kind of layer what explains `out`, and each gradient under its own name.
const EXPLAINED = { ...affine, ...elementwise, ...norms, ...pools };

/**
 * Explain one entry of a layer's output.
 *
 * @param {import("handgrad-page/network").Network} network
 * @param {import("handgrad-page/network").Trace} trace
 * @param {number} position  of the layer
 * @param {number[]} index  of the entry in trace.steps[position].out, example first
 * @returns {Explanation}
 */
export function explainForward(network, trace, position, index) {
  const step = trace.steps[position], layer = network.layers[position];
  const value = step.out.at(index);
  const at = { network, trace, position, layer, step, own: network.own(position) };
  return { name: `out[${index.join(", ")}]`, ...EXPLAINED[layer.kind].out(at, index), value };
}

/**
 * Explain one entry of a gradient.
 *
 * @param {import("handgrad-page/network").Network} network
 * @param {import("handgrad-page/network").Trace} trace
 * @param {import("handgrad-page/network").Gradients} gradients
 * @param {ArrayLike<number>} y
 * @param {object} entry
 * @param {number} entry.position  of the layer; the number of layers for the loss's own gradient
 * @param {string} entry.which  "x", or an own name of a parameter: "W", "b", "gamma", "beta"
 * @param {number[]} entry.index
 * @returns {Explanation}
 */
export function explainBackward(network, trace, gradients, y, { position, which, index }) {
  const found = gradientOf(network, gradients, position, which);
  const whole = String(found.shape) === String(shapeOf(network, trace, position, which));
  const value = whole ? found.at(index) : null;
  if (position === network.layers.length) {
    const [n, m] = index;
    const explained = lossGradient(network.lossName, lossAt(network, trace, y, n), m);
    return { name: `dx[${index.join(", ")}]`, ...explained, value };
  }
  const layer = network.layers[position], step = trace.steps[position];
  const dout = upstreamOf(gradients, position);
  const at = { network, trace, position, layer, step, dout, own: network.own(position) };
  const name = `d${which === "x" ? "x" : layer.names[which]}[${index.join(", ")}]`;
  return { name, ...EXPLAINED[layer.kind][which](at, index), value };
}

/** The gradient of a layer's output: what the layer above, or the loss, sends back. */
export function upstreamOf(gradients, position) {
  return gradients.inputs[position + 1] ?? gradients.scores;
}

/** The shape that an array of gradients must have: that of what it is the gradient of. */
function shapeOf(network, trace, position, which) {
  if (position === network.layers.length) return trace.scores.shape;
  return which === "x" ? trace.steps[position].x.shape : network.own(position)[which].shape;
}

/** The array of gradients that an entry is of, as explainBackward takes it. */
export function gradientOf(network, gradients, position, which) {
  if (position === network.layers.length) return gradients.scores;
  if (which === "x") return gradients.inputs[position];
  return gradients.params[network.layers[position].names[which]];
}

/**
 * Explain the loss of one example: of softmax its terms are probabilities, else scores and targets.
 * The batch's loss is the mean of its examples' losses, and the penalty.
 *
 * @param {import("handgrad-page/network").Network} network
 * @param {import("handgrad-page/network").Trace} trace
 * @param {ArrayLike<number>} y
 * @param {number} n  the example
 * @returns {Explanation}
 */
export function explainLoss(network, trace, y, n) {
  const at = lossAt(network, trace, y, n);
  const value = LOSSES[network.lossName].ofExample(at.x, at.y, at.options);
  return { name: `loss of example ${n}`, ...lossOf(network.lossName, at), value };
}

function lossAt(network, trace, y, n) {
  const [x, ofExample] = rows(trace.scores, y, n, LOSSES[network.lossName].targets);
  const { N } = trace, M = x.length, position = network.layers.length;
  return { x, y: ofExample, n, N, M, position, options: network.lossOptions };
}
