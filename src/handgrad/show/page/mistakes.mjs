/**
 * Mistakes of `handgrad check`'s tables, planted in the page's own arithmetic.
 *
 * Their names are those of the tables (`handgrad/check/courses/assignment/mistakes/*.toml`):
 * "relu-no-mask". What each is in words, and what check says to it, comes from there and is embedded
 * by name. A mistake is
 *
 *   {kind: "ReLU", pass: "backward", plant}   of a layer: plant(its operations) gives the wrong ones
 *   {loss: "softmax", pass: "gradient", plant}   of a loss, likewise
 *   {penalty: {inGradient: 0}, pass: "gradient"}   of the L2 penalty: other entries of PENALTY
 *
 * where pass says what is wrong: "forward", "backward", "loss" or "gradient".
 */

import { MISTAKES_OF_DENSE } from "handgrad-page/mistakes_dense";
import { MISTAKES_OF_IMAGES } from "handgrad-page/mistakes_images";
import { MISTAKES_OF_LOSSES } from "handgrad-page/mistakes_losses";
import { MISTAKES_OF_NORMS } from "handgrad-page/mistakes_norm";
import { PENALTY } from "handgrad-page/network";

/** Name to the mistake. */
export const MISTAKES = {
  ...MISTAKES_OF_DENSE, ...MISTAKES_OF_NORMS, ...MISTAKES_OF_IMAGES, ...MISTAKES_OF_LOSSES,
};

/**
 * The places of a network where a mistake can be made.
 *
 * @param {import("handgrad-page/network").Network} network
 * @param {string} name  of MISTAKES
 * @returns {number[]}  positions of layers; the number of layers stands for loss and penalty
 */
export function placesOf(network, name) {
  const { kind, loss, penalty } = MISTAKES[name];
  const ofKind = network.layers.filter((layer) => layer.kind === kind);
  if (kind) return ofKind.map(({ position }) => position);
  const there = penalty ? network.reg > 0 : network.lossName === loss;
  return there ? [network.layers.length] : [];
}

/**
 * A network with a mistake, which shares its parameters with the right one.
 *
 * @param {import("handgrad-page/network").Network} network
 * @param {string} name
 * @param {number | "all"} [position]  one of placesOf
 * @returns {import("handgrad-page/network").Network}
 * @throws {Error} where the mistake cannot be made there
 */
export function planted(network, name, position = "all") {
  const places = MISTAKES[name] ? placesOf(network, name) : [];
  const chosen = position === "all" ? places : places.filter((place) => place === position);
  if (!chosen.length) throw new Error(`the mistake ${name} cannot be made at ${position}`);
  const { kind, plant, penalty } = MISTAKES[name];
  if (penalty) return network.with({ penalty: { ...PENALTY, ...penalty } });
  if (!kind) return network.with({ loss: { ...network.lossFunction, ...plant(network.lossFunction) } });
  const operations = network.operations.map((right, place) =>
    chosen.includes(place) ? { ...right, ...plant(right) } : right);
  return network.with({ operations });
}
