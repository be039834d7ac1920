/**
 * How an array of any shape lies on the screen: as tiles of rows and columns, and back.
 *
 * Every array of a network is shown as one tile or several. In tile t, the k-th number, row by
 * row, is the array's entry base(t) + k * step; so a layout is four numbers and a function, and a
 * place on the screen and an index of the array are found from each other without a search.
 */

/**
 * @typedef {object} Layout
 * @property {number[]} shape - of the array
 * @property {number} tiles
 * @property {number} rows - of a tile
 * @property {number} cols - of a tile
 * @property {number} length - numbers of a tile; the last row may be short
 * @property {number} step - between neighbours of a tile, in the array
 * @property {number} units - tiles that lie between neighbours: M for a matrix shown by columns
 * @property {string} order - "together" where a tile's numbers are neighbours, "columns" otherwise
 */

const product = (sizes) => sizes.reduce((a, b) => a * b, 1);

/** A vector in one row where that is legible, else wrapped into a block twice as wide as high. */
function wrap(length) {
  if (length <= 32) return { rows: 1, cols: length };
  const cols = Math.ceil(Math.sqrt(2 * length));
  return { rows: Math.ceil(length / cols), cols };
}

const LEGIBLE = [48, 64]; // rows and columns of a matrix that is shown as one tile, at most

function together(shape, tiles, length, size) {
  return { shape, tiles, length, step: 1, units: 1, order: "together", ...size };
}

/**
 * Lay an array out.
 *
 * @param {number[]} shape
 * @param {object} options
 * @param {number[]} [options.image] - (C, H, W) that a flat axis of C * H * W numbers stands for
 * @param {boolean} [options.weights] - a matrix (D, M) of weights: a tile for each of M units
 *   where D is an image, or too long for one tile
 * @returns {Layout}
 */
export function layoutOf(shape, { image = null, weights = false } = {}) {
  const size = product(shape);
  if (shape.length >= 3) {
    const [rows, cols] = shape.slice(-2);
    return together(shape, size / (rows * cols), rows * cols, { rows, cols });
  }
  if (shape.length < 2) return together(shape, 1, size, wrap(size));
  const [first, second] = shape;
  const flat = weights ? first : second;
  const pictures = image && image.length === 3 && product(image) === flat && flat > 1;
  const tile = pictures ? { rows: image[1], cols: image[2] } : null;
  if (!tile && first <= LEGIBLE[0] && second <= LEGIBLE[1]) {
    return together(shape, 1, size, { rows: first, cols: second });
  }
  const inner = tile ?? wrap(flat);
  const length = tile ? tile.rows * tile.cols : flat;
  if (!weights) return together(shape, size / length, length, inner);
  return {
    shape, tiles: size / length, length, step: second, units: second, order: "columns", ...inner,
  };
}

/** The array's index of the first number of a tile. */
export function base(layout, tile) {
  if (layout.order === "together") return tile * layout.length;
  const channels = layout.tiles / layout.units;
  const unit = Math.floor(tile / channels);
  return unit + (tile % channels) * layout.length * layout.units;
}

/** The array's index at a place, or -1 where the last row is short. */
export function indexAt(layout, { tile, row, col }) {
  const k = row * layout.cols + col;
  const outside = row < 0 || col < 0 || col >= layout.cols || k >= layout.length;
  return outside || tile < 0 || tile >= layout.tiles ? -1 : base(layout, tile) + k * layout.step;
}

/** The place of an index. */
export function placeOf(layout, index) {
  let tile;
  let k;
  if (layout.order === "together") {
    tile = Math.floor(index / layout.length);
    k = index % layout.length;
  } else {
    const channels = layout.tiles / layout.units;
    const along = Math.floor(index / layout.units);
    tile = (index % layout.units) * channels + Math.floor(along / layout.length);
    k = along % layout.length;
  }
  return { tile, row: Math.floor(k / layout.cols), col: k % layout.cols };
}

/** The indices along each axis, as NumPy counts: [n, c, i, j]. */
export function coordinates(shape, index) {
  const places = new Array(shape.length);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    places[axis] = index % shape[axis];
    index = Math.floor(index / shape[axis]);
  }
  return places;
}

/**
 * Read "0, 3, 1" as an index into the array.
 *
 * @returns {{index: number} | {error: string}} - the error is a sentence for the reader
 */
export function parseCoordinates(shape, text) {
  const parts = text.trim().replace(/^[[(]|[\])]$/g, "").split(/[\s,]+/).filter(Boolean);
  if (parts.length !== shape.length) {
    return { error: `Give ${shape.length} numbers, one for each axis of (${shape.join(", ")}).` };
  }
  let index = 0;
  for (let axis = 0; axis < shape.length; axis++) {
    const value = Number(parts[axis]);
    if (!Number.isInteger(value) || value < 0 || value >= shape[axis]) {
      return { error: `Axis ${axis} goes from 0 to ${shape[axis] - 1}; got ${parts[axis]}.` };
    }
    index = index * shape[axis] + value;
  }
  return { index };
}

/** How many tiles stand side by side so that all together are about `aspect` times as wide as high. */
export function tileColumns(layout, aspect = 2) {
  const ideal = Math.sqrt((aspect * layout.tiles * layout.rows) / layout.cols);
  return Math.max(1, Math.min(layout.tiles, Math.round(ideal)));
}
