/** The network as a row of layers: shapes, a thumbnail of each output, one layer chosen. */

import { painter, rangeOf } from "handgrad-page/views/colours";
import { base, layoutOf, tileColumns } from "handgrad-page/views/layout";
import { fill, make, plural, shapeText } from "handgrad-page/views/text";

const THUMBNAIL = 84; // CSS pixels, at most

const WORDS = {
  Dense: ({ units }) => `fully connected, ${plural(units, "unit")}`,
  Conv: ({ filters, size }) => `convolution, ${plural(filters, "filter")} of ${size} × ${size}`,
  BatchNorm: () => "batch normalisation",
  LayerNorm: () => "layer normalisation",
  ReLU: () => "ReLU: max(0, x)",
  LeakyReLU: ({ slope }) => `leaky ReLU, slope ${slope}`,
  Sigmoid: () => "sigmoid",
  Tanh: () => "tanh",
  GELU: () => "GELU",
  SiLU: () => "SiLU",
  MaxPool: ({ size }) => `max pooling, ${size} × ${size}`,
  AvgPool: ({ size }) => `average pooling, ${size} × ${size}`,
  GlobalAvgPool: () => "average over each channel",
  Dropout: ({ keep }) => `dropout, keeps ${keep}`,
  Flatten: () => "flattened to a vector",
};

/** A layer in words: "convolution, 16 filters of 5 × 5". */
export function words({ kind, settings }) {
  return (WORDS[kind] ?? (() => kind))(settings);
}

/** The layers' short names, counted where a kind comes twice: Dense 1, ReLU, Dense 2. */
export function shortNames(layers) {
  const totals = {};
  for (const { kind } of layers) totals[kind] = (totals[kind] ?? 0) + 1;
  const seen = {};
  return layers.map(({ kind }) => {
    seen[kind] = (seen[kind] ?? 0) + 1;
    return totals[kind] > 1 ? `${kind} ${seen[kind]}` : kind;
  });
}

export class RowView {
  /**
   * @param {HTMLElement} element
   * @param {import("handgrad-page/views/session").Session} session
   * @param {import("handgrad-page/views/colours").Palette} palette
   */
  constructor(element, session, palette) {
    Object.assign(this, { element, session, palette, buttons: [] });
    this.list = make("div", { class: "layers", role: "radiogroup", "aria-label": "Layers" });
    this.list.addEventListener("keydown", (event) => this._key(event));
    element.append(this.list);
  }

  /** Show another network. */
  build() {
    const { layers } = this.session.network;
    const names = shortNames(layers);
    this.buttons = layers.map((layer, position) => {
      const canvas = make("canvas", { "aria-hidden": "true", width: "1", height: "1" });
      const button = make("button", {
        type: "button", role: "radio", "data-layer": String(position),
        "aria-label": `${names[position]}: ${words(layer)}, output ${shapeText(layer.shapeOut)}`,
        onclick: () => this._choose(position),
      }, make("b", {}, names[position]), make("small", {}, shapeText(layer.shapeOut)), canvas);
      return { button, canvas };
    });
    const arrows = this.buttons.flatMap(({ button }, i) => (i
      ? [make("span", { "aria-hidden": "true" }, "→"), button] : [button]));
    fill(this.list, ...arrows);
    this.shown = -1;
    this.select();
  }

  /** Show which layer is chosen. */
  select() {
    const { layer } = this.session.state;
    this.buttons.forEach(({ button }, position) => {
      const chosen = position === layer;
      button.setAttribute("aria-checked", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
      // Asking where it lies makes the browser lay the page out: once a choice, not once a number.
      if (chosen && this.shown !== position) this._scrollTo(button);
    });
    this.shown = layer;
  }

  _scrollTo(button) {
    const { list } = this;
    const outside = button.offsetLeft - list.offsetLeft < list.scrollLeft
      || button.offsetLeft + button.offsetWidth - list.offsetLeft > list.scrollLeft + list.clientWidth;
    if (outside) list.scrollLeft = button.offsetLeft - list.offsetLeft - 40;
  }

  /** Paint each layer's output, or the gradient of the loss by it. */
  draw() {
    const backward = ["backward", "break"].includes(this.session.state.view);
    this.buttons.forEach(({ canvas }, position) => {
      const tensor = this.session.array(`${backward ? "g" : "a"}${position + 1}`);
      thumbnail(canvas, this.palette, tensor);
    });
  }

  _choose(position) {
    this.session.update({ layer: position, at: "" });
  }

  _key(event) {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    const last = this.buttons.length - 1;
    const { layer } = this.session.state;
    let next = layer + (steps[event.key] ?? 0);
    if (event.key === "Home") next = 0;
    if (event.key === "End") next = last;
    if (!(event.key in steps) && !["Home", "End"].includes(event.key)) return;
    event.preventDefault();
    this._choose(Math.max(0, Math.min(last, next)));
    this.buttons[this.session.state.layer].button.focus();
  }
}

/** Paint the first example of a batch small. */
function thumbnail(canvas, palette, tensor) {
  const shape = [1, ...tensor.shape.slice(1)];
  const size = tensor.data.length / tensor.shape[0];
  const layout = layoutOf(shape);
  const across = tileColumns(layout, 1.2);
  const [w, h] = [
    across * (layout.cols + 1) - 1, Math.ceil(layout.tiles / across) * (layout.rows + 1) - 1,
  ];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const zoom = Math.min(THUMBNAIL / w, THUMBNAIL / h);
  canvas.style.width = `${Math.max(4, Math.round(w * (zoom > 1 ? Math.min(Math.floor(zoom), 12) : zoom)))}px`;
  const context = canvas.getContext("2d");
  const image = context.createImageData(w, h);
  const pixels = new Int32Array(image.data.buffer);
  const paint = painter(palette, "signed", rangeOf(tensor.data.subarray(0, size)));
  for (let tile = 0; tile < layout.tiles; tile++) {
    const corner = Math.floor(tile / across) * (layout.rows + 1) * w
      + (tile % across) * (layout.cols + 1);
    const first = base(layout, tile);
    for (let k = 0; k < layout.length; k++) {
      const row = Math.floor(k / layout.cols);
      pixels[corner + row * w + (k - row * layout.cols)] = paint(tensor.data[first + k]);
    }
  }
  context.putImageData(image, 0, 0);
}
