/**
 * Training, one step after another: shuffled batches, an update rule, what is seen on the way.
 */

/** The update rules of `handgrad.optim` by name, with their settings' defaults. */
export const RULES = {
  sgd: { learning_rate: 1e-2 },
  sgd_momentum: { learning_rate: 1e-2, momentum: 0.9 },
  nesterov: { learning_rate: 1e-2, momentum: 0.9 },
  rmsprop: { learning_rate: 1e-2, decay_rate: 0.99, epsilon: 1e-8 },
  adam: { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
  adamw: { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 1e-2 },
};

/** Trains a network in place. */
export class Trainer {
  /**
   * @param {import("handgrad-page/network").Network} network  its params and state are changed
   * @param {ArrayLike<number>} X  N examples, row by row
   * @param {ArrayLike<number>} y
   * @param {object} [options]
   * @param {string} [options.rule]  a name of RULES
   * @param {object} [options.settings]  over the rule's defaults: {learning_rate: 0.1}
   * @param {number} [options.batchSize]
   * @param {number} [options.seed]  of the shuffling and of dropout's masks
   */
  constructor(network, X, y, { rule = "sgd", settings = {}, batchSize = 20, seed = 0 } = {}) {
    /** The losses of all batches so far. */
    this.losses = [];
    /** Steps and epochs that are done; an epoch visits each row once. */
    this.steps = 0;
    this.epochs = 0;
    /** Whether a loss was not finite: then step() changes nothing more. */
    this.diverged = false;
  }

  /** One batch. @returns {number} its loss before the step */
  step() {
    throw new Error("Trainer.step is not written yet");
  }

  /** Steps up to the end of the epoch. @returns {number} the mean of their losses */
  epoch() {
    throw new Error("Trainer.epoch is not written yet");
  }
}

/**
 * The same architecture with changes, and its own copy of the parameters.
 *
 * @param {import("handgrad-page/network").Network} network
 * @param {object} changes
 * @param {Object<string, string>} [changes.activations]  {ReLU: "Sigmoid"}: replace each such layer
 * @param {boolean} [changes.dropout]  false leaves all dropout layers out
 * @param {number} [changes.seed]  draw new initial weights, as `Network(weight_scale="he")` does
 * @returns {import("handgrad-page/network").Network}
 */
export function changed(network, { activations = {}, dropout = true, seed = null } = {}) {
  throw new Error("changed is not written yet");
}
