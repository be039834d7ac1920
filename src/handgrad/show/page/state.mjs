/**
 * The page's state in its address, after the #: a link to it shows what the lecturer saw.
 *
 * Keys and values are text, "view=backward&row=3&layer=2"; an unknown key is kept as it is, so that
 * a link of a newer page loses nothing.
 */

/**
 * Read a state.
 *
 * @param {string} hash  `location.hash`, with or without the #
 * @returns {Object<string, string>}
 */
export function parse(hash) {
  const state = Object.create(null);
  for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ""))) state[key] = value;
  return state;
}

/**
 * Write a state.
 *
 * @param {Object<string, string | number | boolean | null | undefined>} state  what is null,
 *   undefined or "" is left out
 * @returns {string} with the #; "#" alone where nothing is left
 */
export function format(state) {
  const kept = Object.entries(state).filter(([, value]) => (value ?? "") !== "");
  const written = new URLSearchParams(kept.map(([key, value]) => [key, String(value)]));
  return `#${written}`;
}

/**
 * Read one value of a state as a whole number between two ends.
 *
 * @param {Object<string, string>} state
 * @param {string} key
 * @param {number} low
 * @param {number} high
 * @param {number} otherwise  where there is no such number
 */
export function wholeNumber(state, key, low, high, otherwise) {
  const value = Number(state[key] ?? NaN);
  return Number.isInteger(value) && value >= low && value <= high ? value : otherwise;
}

/**
 * Write lists of numbers, as of an index or of sliders, and read them.
 *
 * @param {number[]} list
 * @returns {string} "0,12,3.5"
 */
export function listText(list) {
  return list.map((value) => String(value)).join(",");
}

/** @param {string | undefined} text @returns {number[] | null} null where it is no such list */
export function readList(text) {
  if (text === undefined || text === "") return null;
  const list = text.split(",").map(Number);
  return list.every(Number.isFinite) ? list : null;
}
