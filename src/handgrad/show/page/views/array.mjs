/**
 * One array on the screen: an overview of its tiles, one tile large, and one entry chosen in it.
 *
 * All numbers are painted on two canvases, so that 600,000 weights cost no more elements than ten;
 * an entry is chosen by mouse or touch, by arrow keys, or by typing its index.
 */

import { painter, rangeOf } from "handgrad-page/views/colours";
import {
  base, coordinates, indexAt, layoutOf, parseCoordinates, placeOf, tileColumns,
} from "handgrad-page/views/layout";
import { fill, make, number, shapeText } from "handgrad-page/views/text";

const DETAIL = 256; // widest tile in CSS pixels, so that a phone of 320 holds it
const WIDEST = 560; // widest overview
const ROOMY = 44; // a cell with its number in text, where a tile has few
const ROOMY_COLS = 8;
const ROOMY_ROWS = 12;
const MOVES = {
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
};

/** @typedef {{indices: number[], style: "from" | "with" | "changed"}} Highlight */

export class ArrayView {
  /**
   * @param {object} options
   * @param {import("handgrad-page/views/colours").Palette} options.palette
   * @param {string} options.name - as the formulas call it: "W1", "dout"
   * @param {string} options.what - in words: "weights", "gradient of the loss by the output"
   * @param {"signed" | "ink"} [options.kind]
   * @param {boolean} [options.weights] - see `layoutOf`
   * @param {number[]} [options.image] - see `layoutOf`
   * @param {(index: number) => void} options.onChoose
   * @param {(places: number[]) => string} [options.called] - what an entry is called: its feature
   */
  constructor({ palette, name, what, onChoose, kind = "signed", weights = false, image = null, called = null }) {
    Object.assign(this, { palette, name, what, kind, weights, image, called, onChoose });
    this.layout = null;
    this.data = null;
    this.seen = ""; // of which data and theme the overview's pixels are
    this.index = 0;
    this.chosen = false;
    /** The number that should stand at an index, where a mistake has made it another; null where it does. */
    this.right = null;
    /** @type {Highlight[]} */
    this.highlights = [];
    this._compose();
  }

  _compose() {
    this.overview = make("canvas", { class: "overview", "aria-hidden": "true" });
    this.detail = make("canvas", {
      class: "detail", tabindex: "0", role: "slider", "aria-label": `${this.name}, ${this.what}`,
    });
    this.place = make("input", {
      type: "text", class: "place", inputmode: "text", autocomplete: "off", spellcheck: "false",
      "aria-label": `entry of ${this.name}, by its index`,
    });
    this.value = make("output", { class: "value" });
    this.calling = make("span", { class: "soft" });
    this.fault = make("p", { class: "fault", role: "alert", hidden: true });
    this.size = make("span", { class: "soft" });
    this.caption = make("figcaption", {}, make("b", {}, this.name), " ", this.size,
      make("span", { class: "what" }, this.what));
    this.element = make("figure", { class: "array" }, this.caption, this.overview, this.detail,
      make("div", { class: "readout" }, make("span", { class: "bracket" }, `${this.name}[`),
        this.place, make("span", { class: "bracket" }, "] ="), this.value, this.calling), this.fault);
    this.overview.addEventListener("click", (event) => this._clickOverview(event));
    this.detail.addEventListener("click", (event) => this._clickDetail(event));
    this.detail.addEventListener("keydown", (event) => this._key(event));
    this.place.addEventListener("change", () => this._typed());
  }

  /**
   * Show an array.
   *
   * @param {{shape: number[], data: ArrayLike<number>}} tensor
   * @param {number} [revision] - another one where the same memory holds other numbers
   */
  show(tensor, revision = 0) {
    const shape = tensor.shape.join();
    if (!this.layout || this.layout.shape.join() !== shape) {
      this.layout = layoutOf(tensor.shape, { image: this.image, weights: this.weights });
      this.across = tileColumns(this.layout);
      this.size.textContent = shapeText(tensor.shape);
      this.overview.hidden = this.layout.tiles === 1;
      this.detail.setAttribute("aria-valuemin", "0");
      this.detail.setAttribute("aria-valuemax", String(tensor.data.length - 1));
    }
    this.index = Math.min(this.index, tensor.data.length - 1);
    const seen = `${revision} ${this.palette.version}`;
    if (this.data !== tensor.data || this.seen !== seen) {
      this.data = tensor.data;
      this.seen = seen;
      this.pixels = null;
      this.paint = painter(this.palette, this.kind, rangeOf(this.data));
    }
    this.draw();
  }

  /** Choose an entry; `chosen` says whether it is the one that is explained. */
  choose(index, chosen = true) {
    this.index = Math.max(0, Math.min(index, this.data.length - 1));
    this.chosen = chosen;
    this.draw();
  }

  /** Mark entries; a view that no entry is chosen in turns to the tile of the first of them. */
  mark(highlights) {
    this.highlights = highlights;
    const first = highlights.find(({ indices }) => indices.length);
    if (first && !this.chosen) this.index = first.indices[0];
    this.draw();
  }

  draw() {
    if (!this.data) return;
    if (!this.overview.hidden) this._drawOverview();
    this._drawDetail();
    const at = coordinates(this.layout.shape, this.index).join(", ");
    if (document.activeElement !== this.place) this.place.value = at;
    this.fault.hidden = true;
    this.value.textContent = number(this.data[this.index]);
    const called = this.called?.(coordinates(this.layout.shape, this.index));
    const right = this.right?.(this.index) ?? null;
    fill(this.calling, called ?? "",
      right === null ? null : make("b", { class: "differ" }, ` should be ${number(right)}`));
    this.detail.setAttribute("aria-valuenow", String(this.index));
    this.detail.setAttribute("aria-valuetext", `${this.name}[${at}] = ${number(this.data[this.index])}`);
    this.element.classList.toggle("chosen", this.chosen);
  }

  _drawOverview() {
    const { layout, across } = this;
    const [height, width] = [layout.rows + 1, layout.cols + 1];
    const down = Math.ceil(layout.tiles / across);
    const canvas = this.overview;
    const [w, h] = [across * width + 1, down * height + 1];
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    const zoom = Math.max(1, Math.min(4, Math.floor(DETAIL / w)));
    canvas.style.width = `${Math.round(Math.min(w * zoom, WIDEST, (DETAIL * 1.25 * w) / h))}px`;
    const context = canvas.getContext("2d");
    this.pixels ??= this._overviewPixels(context.createImageData(w, h));
    context.putImageData(this.pixels, 0, 0);
    const frame = (tile, colour) => {
      context.strokeStyle = colour;
      context.strokeRect((tile % across) * width + 0.5, Math.floor(tile / across) * height + 0.5,
        width, height);
    };
    const tiles = new Set();
    for (const { indices } of this.highlights) {
      for (const index of indices) tiles.add(placeOf(layout, index).tile);
    }
    for (const tile of tiles) frame(tile, this.palette.css["mark-b"]);
    frame(placeOf(layout, this.index).tile, this.palette.css.mark);
  }

  _overviewPixels(image) {
    const { layout, across } = this;
    const pixels = new Int32Array(image.data.buffer).fill(this.palette.empty);
    for (let tile = 0; tile < layout.tiles; tile++) {
      const corner = (Math.floor(tile / across) * (layout.rows + 1) + 1) * image.width
        + (tile % across) * (layout.cols + 1) + 1;
      let entry = base(layout, tile);
      for (let k = 0; k < layout.length; k++, entry += layout.step) {
        const row = Math.floor(k / layout.cols);
        pixels[corner + row * image.width + (k - row * layout.cols)] = this.paint(this.data[entry]);
      }
    }
    return image;
  }

  _cell() {
    const { rows, cols } = this.layout;
    if (cols <= ROOMY_COLS && rows <= ROOMY_ROWS) return ROOMY;
    return Math.max(2, Math.min(28, Math.floor(DETAIL / cols), Math.floor(DETAIL / rows)));
  }

  _drawDetail() {
    const { layout } = this;
    const { tile } = placeOf(layout, this.index);
    const cell = this._cell();
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [cell * layout.cols + 2, cell * layout.rows + 2];
    const [wide, high] = [Math.round(w * ratio), Math.round(h * ratio)];
    const canvas = this.detail;
    if (canvas.width !== wide || canvas.height !== high) {
      Object.assign(canvas, { width: wide, height: high });
      canvas.style.width = `${w}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, ratio, ratio);
    context.clearRect(-1, -1, w, h);
    const first = base(layout, tile);
    for (let k = 0; k < layout.length; k++) {
      const value = this.data[first + k * layout.step];
      context.fillStyle = css(this.paint(value));
      context.fillRect((k % layout.cols) * cell, Math.floor(k / layout.cols) * cell, cell, cell);
    }
    if (cell >= 8) this._drawGrid(context, cell);
    if (cell === ROOMY) this._drawNumbers(context, cell, first);
    this._drawMarks(context, cell, tile);
  }

  _drawGrid(context, cell) {
    const { rows, cols } = this.layout;
    context.strokeStyle = this.palette.css.grid;
    context.lineWidth = 0.5;
    context.beginPath();
    for (let col = 0; col <= cols; col++) context.rect(col * cell, 0, 0, rows * cell);
    for (let row = 0; row <= rows; row++) context.rect(0, row * cell, cols * cell, 0);
    context.stroke();
  }

  _drawNumbers(context, cell, first) {
    context.font = "11px ui-monospace, Menlo, Consolas, monospace";
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (let k = 0; k < this.layout.length; k++) {
      const value = this.data[first + k * this.layout.step];
      const colour = this.paint(value);
      context.fillStyle = legible(colour) ? "#000000" : "#ffffff";
      context.fillText(short(value), ((k % this.layout.cols) + 0.5) * cell,
        (Math.floor(k / this.layout.cols) + 0.5) * cell);
    }
  }

  _drawMarks(context, cell, tile) {
    const { css } = this.palette;
    const inTile = (indices) => indices.map((index) => placeOf(this.layout, index))
      .filter((place) => place.tile === tile);
    context.lineWidth = 2;
    for (const { indices, style } of this.highlights) {
      context.strokeStyle = css[style === "changed" ? "mark" : "mark-b"];
      border(context, inTile(indices), cell);
    }
    const { row, col } = placeOf(this.layout, this.index);
    context.strokeStyle = this.chosen ? css.mark : css.soft;
    context.lineWidth = this.chosen ? 3 : 1;
    if (this.chosen || !this.highlights.length) context.strokeRect(col * cell, row * cell, cell, cell);
  }

  _clickOverview(event) {
    const { across, layout } = this;
    const box = this.overview.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.overview.width;
    const y = ((event.clientY - box.top) / box.height) * this.overview.height;
    const tile = Math.floor(y / (layout.rows + 1)) * across
      + Math.min(across - 1, Math.floor(x / (layout.cols + 1)));
    if (tile < 0 || tile >= layout.tiles) return;
    const { row, col } = placeOf(layout, this.index);
    this._chosenByHand(indexAt(layout, { tile, row, col }));
  }

  _clickDetail(event) {
    const box = this.detail.getBoundingClientRect();
    const { tile } = placeOf(this.layout, this.index);
    const col = Math.floor(((event.clientX - box.left) / box.width) * this.layout.cols);
    const row = Math.floor(((event.clientY - box.top) / box.height) * this.layout.rows);
    this._chosenByHand(indexAt(this.layout, { tile, row, col }));
  }

  _key(event) {
    const { layout } = this;
    const { tile, row, col } = placeOf(layout, this.index);
    let next = -1;
    if (MOVES[event.key]) {
      const [down, right] = MOVES[event.key];
      next = indexAt(layout, { tile, row: row + down, col: col + right });
    } else if (event.key === "PageDown" || event.key === "PageUp") {
      next = indexAt(layout, { tile: tile + (event.key === "PageDown" ? 1 : -1), row, col });
    } else if (event.key === "Home" || event.key === "End") {
      const k = event.key === "Home" ? 0 : layout.length - 1;
      next = base(layout, tile) + k * layout.step;
    } else if (event.key === "Enter" || event.key === " ") {
      next = this.index;
    } else return;
    event.preventDefault();
    this._chosenByHand(next);
  }

  _typed() {
    const read = parseCoordinates(this.layout.shape, this.place.value);
    this.fault.hidden = !read.error;
    this.fault.textContent = read.error ?? "";
    if (!read.error) this._chosenByHand(read.index);
  }

  _chosenByHand(index) {
    if (index < 0) return;
    this.index = index;
    this.onChoose(index);
  }
}

/** Draw the border of a set of cells: the edges that have no neighbour of the set behind them. */
function border(context, places, cell) {
  const inside = new Set(places.map(({ row, col }) => `${row},${col}`));
  const edges = [[-1, 0, 0, 0, 1, 0], [1, 0, 0, 1, 1, 1], [0, -1, 0, 0, 0, 1], [0, 1, 1, 0, 1, 1]];
  context.beginPath();
  for (const { row, col } of places) {
    for (const [down, right, x0, y0, x1, y1] of edges) {
      if (inside.has(`${row + down},${col + right}`)) continue;
      context.moveTo((col + x0) * cell, (row + y0) * cell);
      context.lineTo((col + x1) * cell, (row + y1) * cell);
    }
  }
  context.stroke();
}

/** A number in at most six signs, for a cell. */
function short(value) {
  const text = number(value, 2).replace("0.", ".");
  return text.length <= 6 ? text : number(value, 1).replace("0.", ".");
}

function css(colour) {
  return `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;
}

/** Whether black text is read more easily than white on a colour (WCAG's luminance). */
function legible(colour) {
  const linear = (value) => ((value / 255) <= 0.04045 ? value / 255 / 12.92
    : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = [0, 8, 16].map((shift) => linear((colour >> shift) & 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179;
}
