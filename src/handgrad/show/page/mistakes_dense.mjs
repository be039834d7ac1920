/**
 * Mistakes of fully connected layers, ReLU and dropout.
 */

import { seeded } from "handgrad-page/random";
import { zerosLike } from "handgrad-page/tensor";
import {
  backwardOf, forwardOf, ignoringUpstream, onlyWhere, scaled,
} from "handgrad-page/mistakes_parts";

const overN = ({ dout }) => 1 / dout.shape[0];

/** db summed over the outputs: (N), where b is (M). */
function summedOverOutputs(found, { dout }) {
  const [N, M] = dout.shape, db = zerosLike(dout, [N]);
  for (let i = 0; i < dout.size; i++) db.data[Math.floor(i / M)] += dout.data[i];
  return { b: db };
}

const FULLY_CONNECTED = {
  "fc-no-bias": forwardOf("Dense", (again, { own }) => again({ own: { ...own, b: own.b.zeros() } })),
  "fc-minus-bias": forwardOf("Dense", (again, { own }) =>
    again({ own: { ...own, b: own.b.map((value) => -value) } })),
  "fc-db-mean": backwardOf("Dense", scaled("b", overN)),
  "fc-db-first": backwardOf("Dense", (found, { dout, again }) =>
    ({ b: again({ dout: onlyWhere(dout, ({ n }) => n === 0) }).b })),
  "fc-db-wrong-axis": backwardOf("Dense", summedOverOutputs),
  "fc-db-upstream": backwardOf("Dense", ignoringUpstream("b")),
  "fc-dw-over-n": backwardOf("Dense", scaled("W", overN)),
  "fc-dw-upstream": backwardOf("Dense", ignoringUpstream("W")),
  "fc-dx-sign": backwardOf("Dense", scaled("dx", -1)),
  "fc-dx-twice": backwardOf("Dense", scaled("dx", 2)),
  "fc-dx-upstream": backwardOf("Dense", ignoringUpstream("dx")),
};

/** dx of ReLU by a rule of its own: f(dout, x). */
const reluBy = (f) => backwardOf("ReLU", (found, { dout, step: { x } }) =>
  ({ dx: dout.map((value, i) => f(value, x.data[i])) }));

const reluAs = (f) => forwardOf("ReLU", (again, { x }) => ({ x, out: x.map((value) => f(value)) }));

const RELU = {
  "relu-no-mask": reluBy((dout) => dout),
  "relu-kink": reluBy((dout, x) => (x >= 0 ? dout : 0)),
  "relu-upstream": reluBy((dout, x) => (x > 0 ? 1 : 0)),
  "relu-mask-of-dout": reluBy((dout) => (dout > 0 ? dout : 0)),
  "relu-mask-negative": reluBy((dout, x) => (x < 0 ? dout : 0)),
  "relu-times-x": reluBy((dout, x) => (x > 0 ? dout * x : 0)),
  "relu-identity": reluAs((x) => x),
  "relu-negative": reluAs((x) => Math.min(0, x)),
};

/** Dropout with another factor: of the training mask, or in testing; backward takes it, too. */
function dropoutBy(wrongMode, factorOf) {
  const plant = (right) => ({
    forward(x, layer, own, context) {
      const step = right.forward(x, layer, own, context);
      if (context.mode !== wrongMode) return step;
      const factor = factorOf(layer.settings.keep);
      return { ...step, factor, out: step.out.map((value) => value * factor) };
    },
    backward(dout, step, layer) {
      const { dx } = right.backward(dout, step, layer);
      return { dx: step.factor === undefined ? dx : dx.map((value) => value * step.factor) };
    },
  });
  return { kind: "Dropout", pass: "forward", plant };
}

/** Dropout with a mask of its own: draws(x, random, keep), unless a mask is given. */
const maskedBy = (draws) => forwardOf("Dropout", (again, { x, layer, context }) => {
  const { mode, mask, random } = context;
  if (mode === "test" || mask) return again();
  return again({ context: { ...context, mask: draws(x, random, layer.settings.keep) } });
});

const DROPOUT = {
  "dropout-keep-drop": maskedBy((x, random, keep) =>
    Uint8Array.from(x.data, () => +(random() > keep))),
  "dropout-keeps-half-of-p": maskedBy((x, random, keep) =>
    Uint8Array.from(x.data, () => +(random() < keep / 2))),
  "dropout-per-column": maskedBy((x, random, keep) => {
    const draws = Float64Array.from(x.data, () => random()), each = x.size / x.shape[0];
    return Uint8Array.from(draws, (_, i) => +(draws[i % each] < keep));
  }),
  "dropout-no-test-mode": forwardOf("Dropout", (again, { context }) =>
    again({ context: { ...context, mode: "train", random: context.random ?? seeded(0) } })),
  "dropout-no-test-scaling": dropoutBy("test", (keep) => 1 / keep),
  "dropout-test-drop": dropoutBy("test", (keep) => (1 - keep) / keep),
  "dropout-test-twice": dropoutBy("test", (keep) => keep),
  "dropout-scaled-twice": dropoutBy("train", (keep) => 1 / keep),
  "dropout-train-times-p": dropoutBy("train", (keep) => keep),
  "dropout-no-mask-backward": backwardOf("Dropout", (found, { dout }) => ({ dx: dout.copy() })),
  "dropout-upstream": backwardOf("Dropout", ignoringUpstream("dx")),
};

export const MISTAKES_OF_DENSE = { ...FULLY_CONNECTED, ...RELU, ...DROPOUT };
