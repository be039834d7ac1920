/**
 * Central differences: what a gradient's entry must be, from two forward passes in float64.
 */

import { LOSSES } from "handgrad-page/losses";
import { offsetOf } from "handgrad-page/tensor";

/**
 * (L(w + h) - L(w - h)) / (2 h) for one entry, with the trace's dropout masks.
 *
 * @param {import("handgrad-page/network").Network} network  the right one: a planted mistake in its
 *   forward pass would be differentiated, too
 * @param {import("handgrad-page/network").Trace} trace  of the pass whose gradient is checked
 * @param {ArrayLike<number>} y
 * @param {{position: number, which: string, index: number[]}} entry  as explainBackward takes it
 * @returns {{numeric: number, above: number, below: number, h: number, crossesKink: boolean}}
 *   above, below: the two losses; crossesKink: whether a ReLU or a pool's winner changes between
 *   them, where a difference is not the derivative
 */
export function differenceOf(network, trace, y, { position, which, index }) {
  const exact = network.copy("float64");
  // The layers below see nothing of the change.
  const x = (trace.steps[position]?.x ?? trace.scores).as(Float64Array);
  const moved = which === "x" ? x : exact.own(position)[which];
  const offset = offsetOf(moved.shape, index), start = moved.data[offset];
  const lossAt = (value) => {
    moved.data[offset] = value;
    // The layers' steps keep x itself, which the other pass changes.
    const pass = exact.forward(x.copy(), { mode: trace.mode, masksOf: trace, from: position });
    return { loss: exact.loss(pass, y), pass };
  };
  const around = (h) => {
    const above = lossAt(start + h), below = lossAt(start - h);
    const crossesKink = kinksDiffer(exact, above.pass, below.pass, y);
    const numeric = (above.loss - below.loss) / (2 * h);
    return { numeric, above: above.loss, below: below.loss, h, crossesKink };
  };
  // The error is of the order h^2 (with large factors, such as 1 / eps of a norm whose variance is
  // near 0) and rounding / h: the smaller step is taken where the two differ by more than rounding.
  const wide = around(1e-5 * Math.max(1, Math.abs(start))), narrow = around(wide.h / 10);
  const rounding = (1e-14 * Math.max(1, Math.abs(narrow.above))) / narrow.h;
  return Math.abs(wide.numeric - narrow.numeric) > rounding ? narrow : wide;
}

/** Whether two passes lie on two sides of a kink: of an activation, a pool or the loss. */
function kinksDiffer(network, above, below, y) {
  const layersDiffer = network.layers.some(({ kind, position }) => {
    const a = above.steps[position], b = below.steps[position];
    if (!a) return false;
    if (kind === "MaxPool") return a.winners.some((winner, i) => winner !== b.winners[i]);
    if (kind !== "ReLU" && kind !== "LeakyReLU") return false;
    return a.x.data.some((value, i) => value > 0 !== b.x.data[i] > 0);
  });
  // The slopes of these two losses are constant between their kinks.
  if (layersDiffer || !["svm", "mae"].includes(network.lossName)) return layersDiffer;
  const { backward } = LOSSES[network.lossName];
  const a = backward(above.scores, y, {}).data, b = backward(below.scores, y, {}).data;
  return a.some((slope, i) => slope !== b[i]);
}
