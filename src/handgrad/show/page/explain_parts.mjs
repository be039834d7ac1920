/**
 * What explanations are made of; `explain.mjs` says what each part means.
 */

import { indexOf } from "handgrad-page/tensor";

/** A number of an array, read at an index. */
export function entry(array, position, tensor, index) {
  return { array, position, index, value: tensor.at(index) };
}

/** A parameter's number. */
export function parameter(at, own, index) {
  const name = at.layer.names[own];
  return { array: name, index, value: at.own[own].at(index) };
}

/** A number that is no array's: 1/N, reg. */
export function constant(text, value) {
  return { array: "", text, value };
}

export function product(factors) {
  return factors.reduce((value, factor) => value * factor.value, 1);
}

export function term(factors, note = undefined) {
  return { factors, product: product(factors), ...(note ? { note } : {}) };
}

/** An entry of the layer's own x, out or dout. */
export const xOf = (at, index) => entry("x", at.position, at.step.x, index);
export const doutOf = (at, index) => entry("dout", at.position, at.dout, index);

/** The index of number d of example n, whatever an example's shape. */
export const ofExample = (shape, n, d) => [n, ...indexOf(shape, d)];

/** A region from one index to another, inclusive. */
export function box(role, array, position, from, to) {
  return { role, array, position, from, to };
}

/** All entries of one example. */
export function exampleBox(role, array, position, shape, n) {
  return box(role, array, position, [n, ...shape.map(() => 0)], [n, ...shape.map((size) => size - 1)]);
}

/** All entries of one channel, in all N examples. */
export function channelBox(role, array, position, [N, , ...rest], c) {
  const [zeros, ends] = [rest.map(() => 0), rest.map((size) => size - 1)];
  return box(role, array, position, [0, c, ...zeros], [N - 1, c, ...ends]);
}

/**
 * An explanation whose total is scale times the sum of the terms.
 *
 * @param {object} parts  formula, terms, theory, says; scale, values and boxes where there are any
 */
export function sumOf({ scale = [], values = [], boxes = [], ...parts }) {
  const sum = parts.terms.reduce((total, { product: one }) => total + one, 0);
  const total = parts.terms.length ? product(scale) * sum : 0;
  return {
    ...parts, operation: "sum", scale, values, boxes, total,
    numbers: `${sumInNumbers(scale, parts.terms)} = ${shown(total)}`,
  };
}

/** An explanation whose total is a function of the terms' numbers. */
export function functionOf({ values = [], boxes = [], inNumbers, ...parts }) {
  return {
    ...parts, operation: "function", scale: [], values, boxes,
    numbers: `${inNumbers} = ${shown(parts.total)}`,
  };
}

/** A number to four significant digits, as people write it. */
export function shown(value) {
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "∞");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e6)) {
    const [digits, exponent] = value.toExponential(3).split("e");
    return `${minus(String(Number(digits)))}e${minus(exponent.replace("+", ""))}`;
  }
  return minus(String(Number(value.toPrecision(4))));
}

function minus(text) {
  return text.replace("-", "−");
}

/** The same, in brackets where it is negative and follows a sign. */
export function shownFactor(value) {
  return value < 0 ? `(${shown(value)})` : shown(value);
}

const LONGEST = 6;

function sumInNumbers(scale, terms) {
  const factors = scale.map(({ value, text }) => text ?? shownFactor(value));
  const largest = [...terms].sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
  const chosen = new Set(terms.length > LONGEST ? largest.slice(0, LONGEST - 2) : terms);
  const written = terms.filter((one) => chosen.has(one)).map(termInNumbers);
  // A minus at the very front needs no brackets.
  if (written.length && !factors.length) written[0] = written[0].replace(/^\((−[^)]*)\)/, "$1");
  const left = terms.length - chosen.size;
  if (left) written.push(`${left} smaller ${left === 1 ? "term" : "terms"}`);
  const sum = written.length ? written.join(" + ") : "0";
  if (!factors.length) return sum;
  return `${factors.join(" · ")} · ${written.length > 1 ? `(${sum})` : sum}`;
}

function termInNumbers({ factors }) {
  return factors.map(({ value }) => shownFactor(value)).join(" · ");
}
