/**
 * Mistakes of `handgrad check`'s tables, planted in the page's own arithmetic.
 *
 * Their names are those of the tables (`handgrad/check/mistakes/*.toml`): "relu-no-mask". What each
 * is in words, and what check says to it, comes from there and is embedded by name.
 */

/** Name to the mistake: {kind: "ReLU", pass: "backward", ...}. */
export const MISTAKES = {};

/**
 * The places of a network where a mistake can be made.
 *
 * @param {import("handgrad-page/network").Network} network
 * @param {string} name  of MISTAKES
 * @returns {number[]}  positions of layers; the number of layers stands for loss and penalty
 */
export function placesOf(network, name) {
  throw new Error("placesOf is not written yet");
}

/**
 * A network with a mistake, which shares its parameters with the right one.
 *
 * @param {import("handgrad-page/network").Network} network
 * @param {string} name
 * @param {number | "all"} position
 * @returns {import("handgrad-page/network").Network}
 */
export function planted(network, name, position = "all") {
  throw new Error("planted is not written yet");
}
