/** Curves, bars and a plane of two features, painted on canvases. */

import { rangeOf } from "handgrad-page/views/colours";
import { number } from "handgrad-page/views/text";

/** Size a canvas for the screen's pixels; gives a context in CSS pixels. */
export function sharp(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  canvas.style.width = `${width}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Round numbers between two ends, at most about five. */
export function ticks(low, high) {
  const step = 10 ** Math.floor(Math.log10((high - low) / 2 || 1));
  const wide = [1, 2, 5, 10].map((k) => k * step).find((s) => (high - low) / s <= 5) ?? step * 10;
  const marks = [];
  for (let k = Math.ceil(low / wide); k * wide <= high * (1 + 1e-9); k++) marks.push(k * wide);
  return marks;
}

/**
 * Draw the losses of training steps, on a logarithmic axis once they span three powers of ten.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {import("handgrad-page/views/colours").Palette} palette
 * @param {{steps: number[], smooth: number[], diverged: number | null}} record - diverged is the
 *   step at which the loss stopped being a number
 */
export function drawLoss(canvas, palette, { steps, smooth, diverged }) {
  const width = Math.max(260, Math.min(560, canvas.parentElement.clientWidth || 360));
  const height = 190;
  const [left, right, top, bottom] = [46, 8, 10, 24];
  const context = sharp(canvas, width, height);
  let { low, high } = rangeOf(steps);
  high = Math.max(high, 0.1);
  const logarithmic = low > 0 && high / low > 1000;
  const scale = logarithmic ? Math.log10 : (value) => value;
  if (!logarithmic) low = Math.min(0, low);
  [low, high] = [scale(low), scale(high)];
  if (high === low) high = low + 1;
  const length = Math.max(steps.length - 1, 10);
  const x = (i) => left + (i / length) * (width - left - right);
  const y = (value) => height - bottom
    - ((scale(value) - low) / (high - low)) * (height - top - bottom);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = palette.css.soft;
  context.strokeStyle = palette.css.grid;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const mark of ticks(low, high)) {
    const value = logarithmic ? 10 ** mark : mark;
    context.fillText(number(value, 2), left - 6, y(value));
    line(context, [[left, y(value)], [width - right, y(value)]]);
  }
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  for (const mark of ticks(0, length)) context.fillText(String(mark), x(mark), height - 6);
  const points = (values) => values.flatMap((value, i) => (Number.isFinite(value)
    ? [[x(i), y(logarithmic ? Math.max(value, 10 ** low) : value)]] : []));
  context.lineWidth = 1;
  context.strokeStyle = palette.css.line;
  line(context, points(steps));
  context.lineWidth = 2;
  context.strokeStyle = palette.css.s1;
  line(context, points(smooth));
  if (diverged !== null) {
    context.strokeStyle = palette.css.mark;
    context.setLineDash([4, 3]);
    line(context, [[x(diverged), top], [x(diverged), height - bottom]]);
    context.setLineDash([]);
  }
}

function line(context, points) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

/**
 * Draw a plane of two features: what the network says at each place, and the rows on it.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {import("handgrad-page/views/colours").Palette} palette
 * @param {object} plane
 * @param {number[]} plane.x, plane.y - low and high end of either axis
 * @param {number} plane.cells - the grid's places along an axis
 * @param {Float32Array} plane.shares - (cells * cells * classes) probabilities, row by row from
 *   the top, or (cells * cells) values of regression between 0 and 1
 * @param {number} plane.classes
 * @param {{x: number, y: number, label: number}[]} plane.points
 */
export function drawPlane(canvas, palette, plane) {
  const size = Math.max(220, Math.min(340, canvas.parentElement.clientWidth || 320));
  const context = sharp(canvas, size, size);
  const { cells, classes, shares } = plane;
  const colours = classColours(palette);
  const paper = rgb(palette.css.paper);
  const small = new OffscreenCanvas(cells, cells);
  const inner = small.getContext("2d");
  const image = inner.createImageData(cells, cells);
  for (let at = 0; at < cells * cells; at++) {
    const mix = [0, 0, 0];
    for (let k = 0; k < classes; k++) {
      const colour = rgb(colours[k % colours.length]);
      for (let c = 0; c < 3; c++) mix[c] += shares[at * classes + k] * colour[c];
    }
    for (let c = 0; c < 3; c++) image.data[4 * at + c] = 0.45 * mix[c] + 0.55 * paper[c];
    image.data[4 * at + 3] = 255;
  }
  inner.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, size, size);
  for (const point of plane.points) {
    const px = ((point.x - plane.x[0]) / (plane.x[1] - plane.x[0])) * size;
    const py = size - ((point.y - plane.y[0]) / (plane.y[1] - plane.y[0])) * size;
    context.fillStyle = colours[point.label % colours.length];
    context.strokeStyle = palette.css.paper;
    context.lineWidth = 1;
    marker(context, point.label, px, py);
  }
}

/** A circle, a square, a triangle...: the label is told apart without colour, too. */
function marker(context, label, x, y) {
  const corners = [0, 4, 3, 5, 6][label % 5];
  context.beginPath();
  if (!corners) context.arc(x, y, 3.5, 0, 7);
  for (let i = 0; i < corners; i++) {
    const angle = (2 * Math.PI * i) / corners + (corners === 4 ? Math.PI / 4 : -Math.PI / 2);
    context.lineTo(x + 4.4 * Math.cos(angle), y + 4.4 * Math.sin(angle));
  }
  context.closePath();
  context.fill();
  context.stroke();
}

/** Six colours that are told apart in both themes. */
export function classColours(palette) {
  return ["s1", "s2", "s3", "s4", "s6", "s5"].map((name) => palette.css[name]);
}

function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}
