/**
 * From pen strokes to a picture as MNIST's are.
 *
 * LeCun, Cortes and Burges made each digit of a black-and-white scan: brought to a box of 20 x 20
 * pixels with its proportions kept, grey where a pixel is covered in part, and then placed in
 * 28 x 28 so that its centre of mass is in the middle (measured on their files: within half a pixel
 * of the middle of the pixel in row and column 14). The same is done to strokes here, so that
 * it does not matter where, and how large, a digit is drawn.
 */

export const SIDE = 28;
export const BOX = 20;

/** What a pixel is divided into, to tell how much of it is covered. */
const FINE = 8;
/** Half of a pen's width, in pixels of the box: MNIST's strokes are two to four pixels wide. */
const PEN = 1.35;
/** Where the centre of mass comes to lie: in the pixel of row and column 14, counted from 0. */
const CENTRE = SIDE / 2 + 0.5;
/** A stroke shorter than this part of the square, such as a dot, is not blown up to the box. */
const SHORTEST = 0.12;
/** Steps of a coordinate: what a link holds is what was drawn. */
const STEPS = 4095;
/** A point this near to the one before adds nothing. */
const NEAR = 0.008;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Strokes in a square, each a list of points [x, y] from 0 to 1, y downwards. */
export class Sketch {
  constructor() {
    /** @type {number[][][]} */
    this.strokes = [];
  }

  get empty() {
    return !this.strokes.length;
  }

  /** Put the pen down. */
  begin(x, y) {
    this.strokes.push([[stepped(x), stepped(y)]]);
  }

  /** Move the pen, which is down, in a straight line. */
  to(x, y) {
    if (this.empty) return this.begin(x, y);
    const stroke = this.strokes.at(-1);
    const point = [stepped(x), stepped(y)];
    const [before] = stroke.slice(-1);
    if (Math.hypot(point[0] - before[0], point[1] - before[1]) >= NEAR) stroke.push(point);
    return undefined;
  }

  /** Take the last stroke back. */
  undo() {
    this.strokes.pop();
  }

  clear() {
    this.strokes = [];
  }

  /** The picture: SIDE x SIDE levels, 0 the ground and 255 ink. @returns {Uint8Array} */
  image() {
    return this.empty ? new Uint8Array(SIDE * SIDE) : placed(inked(this.strokes), BOX, BOX);
  }

  /** The strokes as text for a link: four letters a point, a dot between strokes. */
  text() {
    return this.strokes.map((stroke) => stroke.flat().map(lettered).join("")).join(".");
  }

  /** Read what `text` wrote. @returns {Sketch} an empty one where it is no such text */
  static read(text) {
    const sketch = new Sketch();
    if (!/^([\w-]{4})+(\.([\w-]{4})+)*$/.test(text ?? "")) return sketch;
    for (const part of text.split(".")) {
      const points = part.match(/.{4}/g).map((four) => [number(four, 0), number(four, 2)]);
      if (points.flat().every((value) => value <= 1)) sketch.strokes.push(points);
    }
    return sketch;
  }
}

const stepped = (value) => Math.round(Math.min(Math.max(value, 0), 1) * STEPS) / STEPS;

function lettered(value) {
  const step = Math.round(value * STEPS);
  return LETTERS[step >> 6] + LETTERS[step & 63];
}

const number = (four, at) =>
  (LETTERS.indexOf(four[at]) * 64 + LETTERS.indexOf(four[at + 1])) / STEPS;

/** The strokes in the box: BOX x BOX levels. */
function inked(strokes) {
  const points = strokes.flat();
  const [left, right] = ends(points.map(([x]) => x));
  const [top, bottom] = ends(points.map(([, y]) => y));
  const extent = Math.max(right - left, bottom - top, SHORTEST);
  const scale = ((BOX - 2 * PEN) / extent) * FINE; // fine pixels in the unit square
  const side = BOX * FINE;
  const middle = side / 2;
  const across = ([x, y]) => [
    middle + (x - (left + right) / 2) * scale,
    middle + (y - (top + bottom) / 2) * scale,
  ];
  const ink = new Uint8Array(side * side);
  for (const stroke of strokes) {
    const path = stroke.map(across);
    for (let i = 0; i < path.length; i++) dab(ink, side, path[Math.max(i - 1, 0)], path[i]);
  }
  return shrunk(ink, side, side, BOX, BOX).map((share) => Math.round(255 * share));
}

function ends(values) {
  return [Math.min(...values), Math.max(...values)];
}

/** Blacken what lies within the pen's reach of a line from a to b. */
function dab(ink, side, [ax, ay], [bx, by]) {
  const reach = PEN * FINE;
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const rows = within(Math.min(ay, by) - reach, Math.max(ay, by) + reach, side);
  const columns = within(Math.min(ax, bx) - reach, Math.max(ax, bx) + reach, side);
  for (let row = rows[0]; row < rows[1]; row++) {
    for (let column = columns[0]; column < columns[1]; column++) {
      const [px, py] = [column + 0.5 - ax, row + 0.5 - ay];
      const along = length ? Math.min(Math.max((px * dx + py * dy) / length, 0), 1) : 0;
      const [ox, oy] = [px - along * dx, py - along * dy];
      if (ox * ox + oy * oy <= reach * reach) ink[row * side + column] = 1;
    }
  }
}

const within = (low, high, side) => [Math.max(0, Math.floor(low)), Math.min(side, Math.ceil(high))];

/**
 * Shrink or enlarge a picture: each new pixel is the mean of what it covers.
 *
 * @param {ArrayLike<number>} picture  width * height values
 * @param {number} width
 * @param {number} height
 * @param {number} newWidth
 * @param {number} newHeight
 * @returns {Float64Array}
 */
export function shrunk(picture, width, height, newWidth, newHeight) {
  const out = new Float64Array(newWidth * newHeight);
  const columns = shares(width, newWidth);
  const rows = shares(height, newHeight);
  for (let y = 0; y < newHeight; y++) {
    for (let x = 0; x < newWidth; x++) {
      let sum = 0;
      for (const [row, down] of rows[y]) {
        for (const [column, across] of columns[x]) sum += down * across * picture[row * width + column];
      }
      out[y * newWidth + x] = sum;
    }
  }
  return out;
}

/** For each new pixel of a line the old ones that it covers, with their shares of it. */
function shares(size, newSize) {
  const step = size / newSize;
  return Array.from({ length: newSize }, (_, place) => {
    const [start, end] = [place * step, (place + 1) * step];
    const covered = [];
    for (let i = Math.floor(start); i < Math.min(size, Math.ceil(end)); i++) {
      const part = Math.min(end, i + 1) - Math.max(start, i);
      if (part > 0) covered.push([i, part / step]);
    }
    return covered;
  });
}

/**
 * Bring a picture of any size, ink on a ground of 0, into the form of MNIST's.
 *
 * @param {ArrayLike<number>} picture  width * height levels, 0 to 255
 * @param {number} width
 * @param {number} height
 * @returns {Uint8Array} SIDE * SIDE levels
 */
export function centred(picture, width, height) {
  const box = inkBox(picture, width, height);
  if (box === null) return new Uint8Array(SIDE * SIDE);
  const { left, top, across, down } = box;
  const scale = BOX / Math.max(across, down);
  const [newAcross, newDown] = [across, down].map((size) => Math.max(1, Math.round(size * scale)));
  const cut = new Float64Array(across * down);
  for (let y = 0; y < down; y++) {
    for (let x = 0; x < across; x++) cut[y * across + x] = picture[(top + y) * width + left + x];
  }
  const fitted = shrunk(cut, across, down, newAcross, newDown).map(Math.round);
  return placed(fitted, newAcross, newDown);
}

/** The smallest box with all ink. */
function inkBox(picture, width, height) {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (picture[y * width + x] <= 0) continue;
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
    }
  }
  return right < 0 ? null : { left, top, across: right - left + 1, down: bottom - top + 1 };
}

/** Put a picture into SIDE x SIDE, moved by whole pixels so that its mass is in the middle. */
function placed(picture, width, height) {
  let [mass, massX, massY] = [0, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const level = picture[y * width + x];
      mass += level;
      massX += level * (x + 0.5);
      massY += level * (y + 0.5);
    }
  }
  const out = new Uint8Array(SIDE * SIDE);
  if (!mass) return out;
  const left = fitting(CENTRE - massX / mass, width);
  const top = fitting(CENTRE - massY / mass, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) out[(top + y) * SIDE + left + x] = picture[y * width + x];
  }
  return out;
}

/** A whole shift by which a picture of this size stays inside. */
const fitting = (shift, size) => Math.min(Math.max(Math.round(shift), 0), SIDE - size);
