/** Numbers and shapes as text, and elements made in one call. */

const MINUS = "\u2212";

/** A number in four significant digits, as one would write it by hand; null is one that is missing. */
export function number(value, digits = 4) {
  if (value === null) return "missing";
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : `${MINUS}inf`;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return (value < 0 ? MINUS : "") + size;
  let text;
  if (size >= 1e7 || size < 1e-4) {
    const [mantissa, exponent] = size.toExponential(digits - 1).split("e");
    text = `${mantissa}e${exponent.replace("+", "")}`;
  } else {
    text = size.toPrecision(digits);
    if (text.includes("e")) text = String(Number(text));
  }
  return (value < 0 ? MINUS : "") + text.replace("e-", `e${MINUS}`);
}

/** A probability in per cent: 0.9973 is 99.7 %, and what is not quite all never reads 100. */
export function percent(share) {
  const value = 100 * share;
  if (value > 99.95 && value < 100) return "> 99.9 %";
  if (value > 0 && value < 0.05) return "< 0.1 %";
  return `${value.toFixed(1)} %`;
}

/** A count with thin spaces between thousands. */
export function count(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** A shape as the documentation writes it, without brackets: 32 × 22 × 22. */
export function shapeText(shape) {
  return shape.length ? shape.join(" \u00d7 ") : "one number";
}

/** `1 number`, `2 numbers`. */
export function plural(n, word) {
  return `${count(n)} ${word}${n === 1 ? "" : "s"}`;
}

/**
 * Make an element: attributes, then children. A name that begins with "on" is a listener, a value
 * of false or null leaves the attribute out.
 *
 * @param {string} tag
 * @param {object} [attributes]
 * @param {...(Node | string | null)} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Put children in place of what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}
