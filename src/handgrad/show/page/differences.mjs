/**
 * Central differences: what a gradient's entry must be, from two forward passes in float64.
 */

/**
 * (L(w + h) - L(w - h)) / (2 h) for one entry, with the trace's dropout masks.
 *
 * @param {import("handgrad-page/network").Network} network
 * @param {import("handgrad-page/network").Trace} trace  of the pass whose gradient is checked
 * @param {ArrayLike<number>} y
 * @param {{position: number, which: string, index: number[]}} entry  as explainBackward takes it
 * @returns {{numeric: number, above: number, below: number, h: number, crossesKink: boolean}}
 *   above, below: the two losses; crossesKink: whether a ReLU or a pool's winner changes between
 *   them, where a difference is not the derivative
 */
export function differenceOf(network, trace, y, entry) {
  throw new Error("differenceOf is not written yet");
}
