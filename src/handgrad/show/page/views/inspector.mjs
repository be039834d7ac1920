/** A layer opened: each of its arrays, the entry that is chosen, and how that number came about. */

import { ArrayView } from "handgrad-page/views/array";
import { ExplanationView } from "handgrad-page/views/explanation";
import { coordinates } from "handgrad-page/views/layout";
import { shortNames, words } from "handgrad-page/views/row";
import { fill, make, number, plural, shapeText } from "handgrad-page/views/text";

const WHAT = {
  x: "the layer’s input", out: "the layer’s output",
  W: "weights", b: "bias", gamma: "scale", beta: "shift",
  mean: "the batch’s mean", variance: "the batch’s variance", xHat: "normalised input",
  running_mean: "mean kept from training", running_var: "variance kept from training",
  mask: "1 where a unit is kept, 0 where it is dropped",
  dout: "gradient of the loss by the output (upstream)", dx: "gradient of the loss by the input",
  dW: "gradient of the loss by the weights", db: "gradient of the loss by the bias",
  dgamma: "gradient of the loss by the scale", dbeta: "gradient of the loss by the shift",
};

const SECOND = 60; // milliseconds
const REST = 500; // milliseconds
const MOST = 4096; // entries that are outlined one by one

export class InspectorView {
  /**
   * @param {HTMLElement} element
   * @param {import("handgrad-page/views/session").Session} session
   * @param {import("handgrad-page/views/colours").Palette} palette
   * @param {import("handgrad-page/views/explanation").Sources} sources
   * @param {(text: string) => void} announce
   */
  constructor(element, session, palette, sources, announce) {
    Object.assign(this, { element, session, palette, announce });
    this.explanation = new ExplanationView(palette, sources);
    this.head = make("div", { class: "inspector" });
    this.arrays = make("div", { class: "groups" });
    // It stays in sight at the bottom while the arrays are, and heads what explains it.
    this.peek = make("div", { class: "peek" });
    element.append(this.head, this.arrays, this.peek, this.explanation.element);
    this.views = new Map();
    this.shape = "";
  }

  /** Bring everything up to date. */
  render() {
    const { session } = this;
    const entries = session.arrays();
    const key = JSON.stringify([session.state.net, session.state.layer, entries.map(({ id }) => id)]);
    if (key !== this.shape) this._compose(entries);
    this.shape = key;
    this._heading();
    this.show();
  }

  _compose(entries) {
    const { session } = this;
    const layer = session.network.layers[session.state.layer];
    this.views = new Map(entries.map(({ own, id, name, role }) => [own, {
      id,
      view: new ArrayView({
        palette: this.palette, name, what: this._what(layer, own),
        kind: id === "a0" && session.subject.inputs.kind === "image" ? "ink" : "signed",
        called: this._called(id),
        weights: role === "param" || (role === "gradient" && own !== "dx"),
        image: layer.shapeIn.length === 3 ? layer.shapeIn : this._imageBelow(layer),
        onChoose: (index) => this._choose(own, index),
      }),
    }]));
    const made = new Set(entries.filter(({ own, role }) => own === "out" || role === "gradient").map(({ own }) => own));
    const of = (which) => [...this.views].filter(([own]) => made.has(own) === which)
      .map(([, { view }]) => view.element);
    const group = (title, elements) => make("section", { "aria-label": title },
      make("h4", {}, title), make("div", { class: "arrays" }, ...elements));
    fill(this.arrays, group("What the layer computes", of(true)), group("What it is made of", of(false)));
  }

  /** What an entry of the network's input or of its scores is called. */
  _called(id) {
    const { subject, network } = this.session;
    const { features, outputs, target } = subject;
    if (id === "a0" && features) return ([, d]) => features[d];
    const names = target?.names ?? outputs;
    const scores = [`a${network.layers.length}`, `g${network.layers.length}`].includes(id);
    return scores && names.length === network.outputShape[0] ? ([, c]) => names[c] : null;
  }

  _what(layer, own) {
    if (own === "xHat" && layer.kind === "LayerNorm") return "normalised, each example by itself";
    if (layer.kind === "LayerNorm" && own === "mean") return "each example’s mean";
    if (layer.kind === "LayerNorm" && own === "variance") return "each example’s variance";
    return WHAT[own];
  }

  /** A vector that was flattened from an image is shown as that image. */
  _imageBelow(layer) {
    const { layers } = this.session.network;
    for (let at = layer.position - 1; at >= 0; at--) {
      if (layers[at].kind === "Flatten") return layers[at].shapeIn;
      if (layers[at].kind === "Dense") return null;
    }
    const { kind, channels, height, width } = this.session.subject.inputs;
    return kind === "image" ? [channels, height, width] : null;
  }

  _heading() {
    const { session } = this;
    const { layers } = session.network;
    const layer = layers[session.state.layer];
    const name = shortNames(layers)[layer.position];
    const parameters = layer.trained.reduce(
      (sum, own) => sum + session.network.params[layer.names[own]].data.length, 0);
    const about = `${shapeText(layer.shapeIn)} → ${shapeText(layer.shapeOut)}, `
      + (parameters ? plural(parameters, "parameter") : "no parameters");
    fill(this.head, make("h3", {}, `${name}: ${words(layer)}`),
      make("p", { class: "soft" }, `${about}. Choose a number to see what it is made of.`));
  }

  /** Fill the views with the pass's numbers, and explain the chosen one. */
  show() {
    const { session } = this;
    const place = session.place();
    for (const [own, { id, view }] of this.views) {
      view.chosen = own === place.own;
      if (view.chosen) view.index = place.index;
      this._compare(id, view);
      view.show(session.array(id));
    }
    const found = session.explanation();
    this._explain(place, found);
    this._highlight(found?.explanation);
    this._peek(place, found?.explanation);
  }

  /** Explain at once, and bring the second opinion when the keys rest. */
  _explain(place, found) {
    const { session } = this;
    const options = { given: this._given(place), broken: Boolean(session.broken()) };
    const shown = found && { ...found, difference: null, pending: Boolean(found.difference) };
    const show = () => {
      this.explanation.show(shown, options);
      this.text = shown ? this.explanation.summary(shown) : options.given;
    };
    show();
    clearTimeout(this.second);
    if (!shown?.pending) return;
    this.second = setTimeout(() => {
      Object.assign(shown, { difference: found.difference(), pending: false });
      show();
    }, SECOND);
  }

  _peek({ own, name, shape, index, id }, explanation) {
    const title = `${name}[${coordinates(shape, index).join(", ")}]`;
    const value = explanation ? explanation.value : this.session.array(id).data[index];
    const elsewhere = { x: "as the layer before computes it", dout: "as the next layer computes it" }[own];
    const how = explanation ? make("button", {
      type: "button", onclick: () => {
        this.explanation.element.scrollIntoView({ block: "start" });
        this.explanation.element.focus({ preventScroll: true });
      },
    }, "How it came about") : null;
    fill(this.peek, make("h3", {}, make("span", { class: "mono" }, title), ` = ${number(value)}`,
      explanation && elsewhere ? make("span", { class: "aside" }, elsewhere) : null), how);
  }

  /** Outline what the planted mistake has changed in an array. */
  _compare(id, view) {
    const right = this.session.broken() ? this.session.array(id, { right: true }) : null;
    const indices = right ? differing(this.session.array(id), right) : [];
    const changed = new Set(indices);
    view.highlights = indices.length ? [{ indices: indices.slice(0, MOST), style: "changed" }] : [];
    view.right = indices.length ? (index) => (changed.has(index) ? right.data[index] : null) : null;
  }

  _given({ own, name }) {
    const { layer } = this.session.state;
    if (own === "x" && layer === 0) return "This is the network’s input: it is given, not computed.";
    if (own === "mask") return "Drawn at random for this pass: 1 with the probability to keep.";
    if (["mean", "variance", "xHat"].includes(own)) {
      return "It is among the numbers on the way to every entry of out: choose one there.";
    }
    if (own.startsWith("running_")) return `${name} was kept from training, and is what testing uses.`;
    return `${name} is a parameter: training has moved it to this value. `
      + `What moves it is d${name}, in the view Backward.`;
  }

  _highlight(explanation) {
    if (!explanation) return;
    const sources = this._sources(explanation);
    for (const { id, view } of this.views.values()) {
      const indices = sources.get(id);
      if (!indices?.size) continue;
      const winner = explanation.boxes?.find((box) => box.role === "winner" && this._id(box) === id);
      view.mark([...view.highlights, { indices: [...indices].slice(0, MOST), style: "from" },
        ...(winner ? [{ indices: [this._flat(id, winner.from)], style: "from" }] : [])]);
    }
  }

  /** The entries that an explanation reads: the array's id to flat indices. */
  _sources(explanation) {
    const found = new Map();
    const add = (factor, index) => {
      const id = this._id(factor);
      const tensor = id && [...this.views.values()].some((view) => view.id === id)
        ? this.session.array(id) : null;
      if (!tensor || index.length !== tensor.shape.length) return;
      if (!found.has(id)) found.set(id, new Set());
      found.get(id).add(this._flat(id, index));
    };
    for (const { factors } of explanation.terms ?? []) {
      for (const factor of factors) if (factor.array && factor.index) add(factor, factor.index);
    }
    for (const box of explanation.boxes ?? []) {
      for (const index of inside(box, MOST)) add(box, index);
    }
    return found;
  }

  _flat(id, index) {
    const { shape } = this.session.array(id);
    return index.reduce((flat, at, axis) => flat * shape[axis] + at, 0);
  }

  _id({ array, position }) {
    const ids = {
      x: `a${position}`, out: `a${position + 1}`, dx: `g${position}`, dout: `g${position + 1}`,
      x_hat: `xHat${position}`, mask: `mask${position}`,
    };
    return ids[array] ?? array;
  }

  _choose(own, index) {
    this.session.choose(own, index);
    // Whoever walks with the arrow keys hears each value; the sentence waits for a rest.
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.announce(this.text), REST);
  }
}

/** The flat indices at which two arrays differ by more than rounding. */
export function differing(one, other) {
  if (one === other || !other || one.data.length !== other.data.length) return [];
  let largest = 0;
  for (let i = 0; i < other.data.length; i++) largest = Math.max(largest, Math.abs(other.data[i]));
  const indices = [];
  for (let i = 0; i < one.data.length; i++) {
    if (!(Math.abs(one.data[i] - other.data[i]) <= 1e-6 * largest + 1e-12)) indices.push(i);
  }
  return indices;
}

/** All indices from one corner of a box to the other, or the first of them. */
function inside({ from, to }, most) {
  let indices = [[]];
  for (let axis = 0; axis < from.length && indices.length <= most; axis++) {
    const next = [];
    for (const index of indices) {
      for (let at = from[axis]; at <= to[axis]; at++) next.push([...index, at]);
    }
    indices = next;
  }
  return indices[0]?.length === from.length ? indices.slice(0, most) : [];
}
