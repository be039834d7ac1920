/** One training run on the page: a changed copy of a network, its rows, its trainer. */

import { Trainer, changed } from "handgrad-page/training";

const MOST = 200; // rows that an accuracy is taken of
const PROBE = 20; // rows that the gradients' sizes are taken of

const ACTIVATIONS = ["ReLU", "Sigmoid", "LeakyReLU", "Tanh", "GELU", "SiLU"];

/** What a run is of: another text, another run. */
export function keyOf({ rule, rate, size, units, dropout, start, shuffle }) {
  return [rule, rate, size, units, dropout, start, shuffle].join();
}

export class Run {
  /**
   * @param {import("handgrad-page/network").Network} network  is copied
   * @param {import("handgrad-page/views/session").Rows} rows
   * @param {object} knobs  the session's state: rule, rate, size, units, dropout, start, shuffle
   */
  constructor(network, rows, knobs) {
    const { rule, rate, size, units, dropout, start, shuffle } = knobs;
    const activations = units === "as is" ? {}
      : Object.fromEntries(ACTIVATIONS.filter((kind) => kind !== units).map((kind) => [kind, units]));
    this.network = changed(network, { activations, dropout, seed: start === "fresh" ? shuffle : null });
    this.key = keyOf(knobs);
    this.rows = rows;
    const { X, y } = taken(rows, 0, rows.train);
    this.trainer = new Trainer(this.network, X, y, {
      rule, settings: { learning_rate: rate }, batchSize: size, seed: shuffle,
    });
  }

  /** How many steps the epoch has left. */
  stepsToEpoch() {
    const each = Math.ceil(this.rows.train / this.trainer.batchSize);
    return each - (this.trainer.steps % each);
  }
}

/** Rows as one batch. */
function taken(rows, first, end) {
  const inputs = Array.from({ length: end - first }, (_, i) => rows.input(first + i));
  const X = new Float32Array(inputs.length * inputs[0].length);
  inputs.forEach((input, i) => X.set(input, i * input.length));
  const y = inputs.flatMap((_, i) => rows.target(first + i));
  return { X, y };
}

function accuracy(network, rows, first, end) {
  const last = Math.min(end, first + MOST);
  if (last <= first) return null;
  const { X, y } = taken(rows, first, last);
  const { scores } = network.forward(X);
  const outputs = scores.shape[1];
  let right = 0;
  for (let n = 0; n < last - first; n++) {
    const own = scores.data.subarray(n * outputs, (n + 1) * outputs);
    const said = outputs === 1 ? Number(own[0] > 0) : own.indexOf(Math.max(...own));
    if (said === y[n]) right++;
  }
  return right / (last - first);
}

/** The share of rows that are right, of those trained on and of those held back (or null). */
export function accuracyOf({ network, rows }) {
  return {
    training: accuracy(network, rows, 0, rows.train),
    validation: accuracy(network, rows, rows.train, rows.count),
  };
}

/** The mean size of the entries of each weight's gradient, on some training rows. */
export function gradientSizes({ network, rows }) {
  const { X, y } = taken(rows, 0, Math.min(PROBE, rows.train));
  const { params } = network.backward(network.forward(X, { mode: "train", random: () => 0 }), y);
  return network.layers.flatMap(({ position, names }) => {
    if (!names.W) return [];
    const { data } = params[names.W];
    return [{ position, name: names.W, size: data.reduce((sum, value) => sum + Math.abs(value), 0) / data.length }];
  });
}
