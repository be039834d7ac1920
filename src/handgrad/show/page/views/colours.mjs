/**
 * Numbers as colours: blue below zero, orange above, the page's own ground at zero.
 *
 * The three ends are the style sheet's, so that a canvas follows the light and the dark theme.
 */

const STEPS = 256; // on either side of zero

function channels(colour) {
  const hex = colour.trim().replace("#", "");
  return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

function packed([r, g, b]) {
  return (255 << 24) | (b << 16) | (g << 8) | r; // as ImageData has it on every machine in use
}

function between(from, to, share) {
  return from.map((value, i) => Math.round(value + (to[i] - value) * share));
}

/** The theme's colours, read once and again when the theme changes. */
export class Palette {
  constructor() {
    this.version = 0;
    this.read();
  }

  read() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name);
    this.css = {};
    for (const name of ["paper", "ink", "soft", "line", "grid", "box", "low", "high", "mark",
      "mark-b", "s1", "s2", "s3", "s4", "s5", "s6"]) {
      this.css[name] = of(`--${name}`).trim();
    }
    const [paper, ink] = [channels(this.css.paper), channels(this.css.ink)];
    const [low, high] = [channels(this.css.low), channels(this.css.high)];
    this.signed = new Int32Array(2 * STEPS + 1);
    this.inked = new Int32Array(2 * STEPS + 1);
    for (let i = -STEPS; i <= STEPS; i++) {
      const share = Math.abs(i) / STEPS;
      // The root lifts small numbers off the ground, where most of a network's numbers are.
      this.signed[i + STEPS] = packed(between(paper, i < 0 ? low : high, Math.sqrt(share)));
      this.inked[i + STEPS] = packed(between(paper, ink, (i + STEPS) / (2 * STEPS)));
    }
    this.invalid = packed(channels(this.css.mark));
    this.empty = packed(channels(this.css.box));
    this.version++;
  }
}

/**
 * A function that gives a value's colour as a packed integer.
 *
 * @param {Palette} palette
 * @param {"signed" | "ink"} kind
 * @param {{low: number, high: number}} range - of the array
 */
export function painter(palette, kind, { low, high }) {
  if (kind === "ink") {
    const scale = high > low ? (2 * STEPS) / (high - low) : 0;
    return (value) => (Number.isFinite(value)
      ? palette.inked[Math.max(0, Math.min(2 * STEPS, Math.round((value - low) * scale)))]
      : palette.invalid);
  }
  const largest = Math.max(Math.abs(low), Math.abs(high));
  const scale = largest > 0 ? STEPS / largest : 0;
  return (value) => (Number.isFinite(value)
    ? palette.signed[STEPS + Math.max(-STEPS, Math.min(STEPS, Math.round(value * scale)))]
    : palette.invalid);
}

/** The smallest and the largest of an array's finite numbers; both 0 where there are none. */
export function rangeOf(array) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < array.length; i++) {
    const value = array[i];
    if (value < low && value > -Infinity) low = value;
    if (value > high && value < Infinity) high = value;
  }
  return high >= low ? { low, high } : { low: 0, high: 0 };
}
