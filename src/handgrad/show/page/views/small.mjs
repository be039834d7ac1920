/**
 * Two small networks on pictures of 8 x 8: one of every layer of questions 1.1 to 1.5, a deep one.
 *
 * Their arrays are small enough to be read at a glance, and whoever looks at a model without batch
 * norm can still see batch norm. They are trained when they are first looked at, in milliseconds.
 */

import { SIDE as DRAWN, Sketch, shrunk } from "handgrad-page/drawing";
import { Network } from "handgrad-page/network";
import { seeded } from "handgrad-page/random";
import { Trainer, changed } from "handgrad-page/training";

const SIDE = 8;
const ROWS = 96;
const STEPS = 90;
const BLANK = new Float32Array(SIDE * SIDE);
export const OUTPUTS = ["across", "upright", "slanted"];

const LAYERS = {
  small: [
    { kind: "Conv", filters: 2, size: 3, stride: 1, padding: 0, bias: false },
    { kind: "BatchNorm", momentum: 0.9, eps: 1e-5 },
    { kind: "ReLU" },
    { kind: "MaxPool", size: 2, stride: null },
    { kind: "Flatten" },
    { kind: "Dropout", keep: 0.8 },
    { kind: "Dense", units: 6 },
    { kind: "ReLU" },
    { kind: "Dense", units: 3 },
  ],
  // Deep enough that the gradient of sigmoids is seen to vanish, and without batch norm, its cure.
  deep: [
    { kind: "Flatten" },
    ...[1, 2, 3, 4].flatMap(() => [{ kind: "Dense", units: 16 }, { kind: "ReLU" }]),
    { kind: "Dense", units: 3 },
  ],
};

const TITLES = { small: "A small network of every layer", deep: "A small deep network" };

/** The first one's layers, so that a link to one of them needs not make the network. */
export const SMALL_KINDS = LAYERS.small.map(({ kind }) => kind);

/** A stroke of one of three directions, on paper that is not quite clean: levels 0 to 255. */
function picture(label, random) {
  const levels = Float32Array.from(BLANK, () => Math.round(40 * random()));
  const at = 1 + Math.floor((SIDE - 2) * random());
  const ink = () => 170 + Math.round(85 * random());
  for (let i = 1; i < SIDE - 1; i++) {
    if (label === 0) levels[at * SIDE + i] = ink();
    else if (label === 1) levels[i * SIDE + at] = ink();
    else {
      const column = i + at - 4;
      if (column >= 0 && column < SIDE) levels[i * SIDE + column] = ink();
    }
  }
  return levels;
}

const encode = (levels) => Float32Array.from(levels, (level) => level / 255);

/** A drawing as such a picture, its darkest place fully inked. */
function read(text) {
  const small = shrunk(Sketch.read(text).image(), DRAWN, DRAWN, SIDE, SIDE);
  const most = Math.max(...small);
  return most ? Float32Array.from(small, (level) => (255 * level) / most) : BLANK;
}

/**
 * @param {"small" | "deep"} name
 * @returns {import("handgrad-page/views/session").Subject}
 */
export function smallSubject(name) {
  const random = seeded(7);
  const labels = Array.from({ length: ROWS }, (_, row) => row % OUTPUTS.length);
  const raws = labels.map((label) => picture(label, random));
  const X = new Float32Array(ROWS * SIDE * SIDE);
  raws.forEach((raw, row) => X.set(encode(raw), row * SIDE * SIDE));
  const description = {
    layers: LAYERS[name], input_shape: [1, SIDE, SIDE], loss: "softmax", loss_options: {}, reg: 0, dtype: "float32",
  };
  const network = changed(new Network(description, {}), { seed: 3 });
  const trainer = new Trainer(network, X, labels, {
    rule: "adam", settings: { learning_rate: 0.02 }, batchSize: 16, seed: 1,
  });
  for (let step = 0; step < STEPS; step++) trainer.step();
  const rows = {
    count: ROWS, mistakes: 0, train: 72, source: "this page itself",
    raw: (row) => raws[row], input: (row) => encode(raws[row]), target: (row) => [labels[row]],
    name: (row) => `picture ${row}, ${OUTPUTS[labels[row]]}`,
  };
  return {
    title: TITLES[name], network, task: "classify", outputs: OUTPUTS, target: null, features: null,
    inputs: { kind: "image", channels: 1, height: SIDE, width: SIDE, mean: [0], deviation: [255], drawn: true },
    rows, training: rows, encode, read, blank: BLANK,
  };
}
