/**
 * Training, one step after another: shuffled batches, an update rule, what is seen on the way.
 */

import { Network } from "handgrad-page/network";
import { normalFrom, seeded, shuffled } from "handgrad-page/random";
import { DEFAULTS, stepOf } from "handgrad-page/rules";
import { sizeOf } from "handgrad-page/tensor";

/** The update rules of `handgrad.optim` by name, with their settings' defaults. */
export const RULES = DEFAULTS;

/**
 * Trains a network in place. When a loss is not finite, training has diverged, and the parameters
 * stay as they are.
 */
export class Trainer {
  /**
   * @param {Network} network  its params and state are changed
   * @param {ArrayLike<number>} X  N examples, row by row
   * @param {ArrayLike<number>} y  labels (N), or targets (N * outputs)
   * @param {object} [options]
   * @param {string} [options.rule]  a name of RULES
   * @param {object} [options.settings]  over the rule's defaults: {learning_rate: 0.1}
   * @param {number} [options.batchSize]
   * @param {number} [options.seed]  of the shuffling and of dropout's masks
   */
  constructor(network, X, y, { rule = "sgd", settings = {}, batchSize = 20, seed = 0 } = {}) {
    if (!RULES[rule]) {
      throw new Error(`there is no rule ${rule}; there are ${Object.keys(RULES).join(", ")}`);
    }
    this.network = network;
    this.X = network.examples(X);
    this.y = y;
    this.rule = rule;
    this.settings = { ...RULES[rule], ...settings };
    this.batchSize = Math.min(batchSize, this.X.shape[0]);
    /** The losses of all batches so far. */
    this.losses = [];
    /** Steps and epochs that are done; an epoch visits each row once. */
    this.steps = 0;
    this.epochs = 0;
    /** Whether a loss was not finite: then step() changes nothing more. */
    this.diverged = false;
    this.random = seeded(seed);
    this._states = {};
    this._order = null;
    this._next = 0;
  }

  /** One batch. @returns {number} its loss before the step */
  step() {
    if (this.diverged) return this.losses.at(-1);
    this._order ??= shuffled(this.X.shape[0], this.random);
    const chosen = this._order.subarray(this._next, this._next + this.batchSize);
    const { X, y } = this._batch(chosen);
    const loss = this.stepOn(X, y);
    this._next += chosen.length;
    if (this._next >= this._order.length) {
      this.epochs += 1;
      this._next = 0;
      this._order = null;
    }
    return loss;
  }

  /** Steps up to the end of the epoch. @returns {number} the mean of their losses */
  epoch() {
    const before = this.epochs, from = this.losses.length;
    while (!this.diverged && this.epochs === before) this.step();
    const losses = this.losses.slice(from);
    return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  }

  /** A step on these examples. @returns {number} their loss before it */
  stepOn(X, y) {
    const { network } = this;
    const trace = network.forward(X, { mode: "train", random: this.random });
    const loss = network.loss(trace, y);
    this.losses.push(loss);
    if (!Number.isFinite(loss)) {
      this.diverged = true;
      return loss;
    }
    const { params } = network.backward(trace, y, { all: false });
    network.keepStatistics(trace);
    for (const [name, w] of Object.entries(network.params)) {
      // As the Solver: biases and scales do not decay.
      const settings = /^W\d/.test(name) ? this.settings : { ...this.settings, weight_decay: 0 };
      const state = (this._states[name] ??= {}), { shape } = params[name];
      if (String(shape) !== String(w.shape)) {
        const both = `d${name} has the shape (${shape}) and ${name} (${w.shape})`;
        throw new Error(`${both}: no step can be made`);
      }
      stepOf(this.rule, w.data, params[name].data, settings, state);
    }
    this.steps += 1;
    return loss;
  }

  _batch(chosen) {
    const each = sizeOf(this.network.inputShape), targets = this.y.length / this.X.shape[0];
    const X = new this.network.Numbers(chosen.length * each);
    const y = new Float64Array(chosen.length * targets);
    chosen.forEach((row, n) => {
      X.set(this.X.data.subarray(row * each, (row + 1) * each), n * each);
      for (let i = 0; i < targets; i++) y[n * targets + i] = this.y[row * targets + i];
    });
    return { X, y };
  }
}

/**
 * The same architecture with changes, and its own copy of the parameters.
 *
 * @param {Network} network
 * @param {object} changes
 * @param {Object<string, string>} [changes.activations]  {ReLU: "Sigmoid"}: replace each such layer
 * @param {boolean} [changes.dropout]  false leaves all dropout layers out
 * @param {?number} [changes.seed]  draw new initial weights: normal, of the description's
 *   weight_scale ("he": sqrt(2 / fan in)); biases, beta and statistics start at 0, gamma at 1
 * @returns {Network}
 */
export function changed(network, { activations = {}, dropout = true, seed = null } = {}) {
  const layers = network.description.layers
    .filter(({ kind }) => dropout || kind !== "Dropout")
    .map((layer) => (activations[layer.kind] ? { kind: activations[layer.kind] } : layer));
  const arrays = {}, kept = Object.entries({ ...network.params, ...network.state });
  if (seed === null) {
    for (const [name, { data }] of kept) arrays[name] = data;
  } else {
    const random = seeded(seed), wished = network.description.weight_scale ?? "he";
    for (const [name, { shape }] of Object.entries(network.params)) {
      if (!/^W\d/.test(name)) continue;
      const fanIn = shape.length === 2 ? shape[0] : sizeOf(shape.slice(1));
      const scale = wished === "he" ? Math.sqrt(2 / fanIn) : wished;
      arrays[name] = Array.from({ length: sizeOf(shape) }, () => scale * normalFrom(random));
    }
  }
  return new Network({ ...network.description, layers }, arrays);
}
