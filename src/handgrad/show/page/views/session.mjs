/**
 * What is looked at: a network, an example with its label, a batch, one entry of one array.
 *
 * The session holds the state that the address bar repeats, computes passes when they are asked
 * for, and tells the views what has changed. It knows nothing of the screen.
 *
 * @typedef {object} Subject  A network with what there is to show to it.
 * @property {string} title
 * @property {import("handgrad-page/network").Network} network
 * @property {"classify" | "multilabel" | "regress"} task
 * @property {string[]} outputs  classes, labels or targets
 * @property {{names: string[], mean: number[], scale: number[]} | null} target  of a regression
 * @property {string[] | null} features  what the numbers of an input vector are called
 * @property {object} inputs  what the inputs are, as `handgrad.show.content` describes them
 * @property {Rows | null} rows  examples to choose from
 * @property {Rows | null} training  rows to train on; the first `train` of them, the others validate
 * @property {(raw: ArrayLike<number>) => Float32Array} encode  raw values to the network's inputs
 * @property {number[]} blank  raw values to begin with
 *
 * @typedef {object} Rows
 * @property {number} count
 * @property {number} [mistakes]  so many at the front are those that the model gets wrong
 * @property {number} [train]
 * @property {(row: number) => ArrayLike<number>} raw
 * @property {(row: number) => Float32Array} input
 * @property {((row: number) => number[]) | null} target  as the loss takes it; null without labels
 * @property {(row: number) => string} name
 */

import { differenceOf } from "handgrad-page/differences";
import { explainBackward, explainForward } from "handgrad-page/explain";
import { MISTAKES, placesOf, planted } from "handgrad-page/mistakes";
import { seeded } from "handgrad-page/random";
import { RULES } from "handgrad-page/training";
import { coordinates, parseCoordinates } from "handgrad-page/views/layout";

export const VIEWS = { forward: "Forward", backward: "Backward", break: "Break it", train: "Train" };

export const DEFAULTS = {
  view: "forward", net: "model", source: "row", row: 0, raw: null, label: null, mode: "test",
  batch: 4, seed: 1, layer: 0, array: "out", at: "", mistake: "", where: -1, question: "",
  rule: "sgd_momentum", rate: 0.01, size: 20, units: "as is", dropout: true, start: "fresh",
  shuffle: 1, steps: 0,
};

/** What a ReLU may be exchanged for in training. */
export const UNITS = ["as is", "ReLU", "Sigmoid"];

/** How the formulas call what a pass keeps under another name. */
const BETWEEN = { xHat: "x_hat", variance: "var" };

const MOST_BATCH = 32;
const MOST_SIZE = 1000;
const MOST_STEPS = 5000; // that a link may ask for
const MOST_SEED = 2 ** 31;

/** What must be computed anew, and which views are told, when a part of the state changes. */
const EXAMPLE = ["net", "source", "row", "raw", "label"];
const PASS = ["net", "mode", "batch", "seed", "mistake", "where", "view"];
const PLACE = ["net", "view", "layer", "array", "at"];

export class Session {
  /**
   * @param {Object<string, () => Subject>} subjects  by name; made when first looked at
   * @param {object} state  over DEFAULTS
   */
  constructor(subjects, state = {}) {
    this._make = subjects;
    this._made = {};
    this._listeners = [];
    this._kept = new Map();
    this.state = { ...DEFAULTS };
    /** A network that was trained on this page and is looked at in the subject's place, or null. */
    this.trained = null;
    this._take(state);
  }

  /** @returns {Subject} */
  get subject() {
    return this.subjectNamed(this.state.net);
  }

  /** A subject by its name, made when it is first asked for. @returns {Subject} */
  subjectNamed(name) {
    this._made[name] ??= this._make[name]();
    return this._made[name];
  }

  /** @returns {import("handgrad-page/network").Network} */
  get network() {
    return this.trained ?? this.subject.network;
  }

  /** Whether batch norm and dropout are in training mode. */
  get training() {
    return this.state.view === "backward" || this.state.view === "break"
      || this.state.mode === "train";
  }

  /** @param {(changed: Set<string>) => void} listener  told "example", "pass", "place", "network" */
  onChange(listener) {
    this._listeners.push(listener);
  }

  /** Change the state, and tell the views. */
  update(changes) {
    const before = { ...this.state };
    this._take(changes);
    const differs = (names) => names.some((name) => before[name] !== this.state[name]);
    const changed = new Set();
    if (differs(EXAMPLE)) changed.add("example");
    if (differs(PASS)) changed.add("pass");
    if (differs(PLACE)) changed.add("place");
    if (differs(["net"])) changed.add("network");
    if (changed.has("example") || changed.has("pass")) this._kept.clear();
    for (const listener of this._listeners) listener(changed);
  }

  /** Look at a network that was trained here, or with null at the subject's own again. */
  look(network) {
    this.trained = network;
    this._kept.clear();
    this._settle();
    for (const listener of this._listeners) {
      listener(new Set(["network", "example", "pass", "place"]));
    }
  }

  _take(changes) {
    if ("net" in changes && changes.net !== this.state.net) this.trained = null;
    for (const [name, value] of Object.entries(changes)) {
      if (name in DEFAULTS) this.state[name] = value;
    }
    this._settle();
  }

  /** Bring what a stranger's link may ask for into what there is. */
  _settle() {
    const { state } = this;
    const oneOf = (name, values) => {
      if (!values.includes(state[name])) state[name] = DEFAULTS[name];
    };
    const whole = (name, low, high) => {
      const value = state[name];
      if (!(Number.isInteger(value) && value >= low && value <= high)) state[name] = DEFAULTS[name];
    };
    oneOf("view", Object.keys(VIEWS));
    oneOf("net", Object.keys(this._make));
    const { rows } = this.subject;
    oneOf("source", ["row", "raw"]);
    if (!rows) state.source = "raw";
    whole("row", 0, rows ? rows.count - 1 : 0);
    whole("layer", 0, this.network.layers.length - 1);
    whole("batch", 1, MOST_BATCH);
    whole("seed", 0, MOST_SEED);
    oneOf("mode", ["test", "train"]);
    oneOf("rule", Object.keys(RULES));
    oneOf("units", UNITS);
    oneOf("start", ["fresh", "trained"]);
    whole("size", 1, MOST_SIZE);
    whole("shuffle", 0, MOST_SEED);
    whole("steps", 0, MOST_STEPS);
    if (!(state.rate > 0 && state.rate < Infinity)) state.rate = DEFAULTS.rate;
    if (!this._isTarget(state.label)) state.label = null;
    this._settlePlace();
  }

  _settlePlace() {
    const { state } = this;
    const places = Object.hasOwn(MISTAKES, state.mistake) ? placesOf(this.network, state.mistake) : [];
    if (!places.length) state.mistake = "";
    if (!places.includes(state.where)) state.where = places[0] ?? -1;
    const names = this.arrays().map(({ own }) => own);
    if (!names.includes(state.array)) {
      state.array = state.view === "forward" ? "out" : names.find((own) => own === "dW") ?? "dx";
    }
  }

  /** Whether a label can stand in the loss: a class, 0 or 1 a label, a number a target. */
  _isTarget(label) {
    const { task, outputs } = this.subject;
    if (!Array.isArray(label)) return false;
    if (task === "classify") return label.length === 1 && Object.hasOwn(outputs, label[0]);
    const fits = task === "multilabel" ? (one) => one === 0 || one === 1 : Number.isFinite;
    return label.length === this.network.outputShape[0] && label.every(fits);
  }

  _once(key, compute) {
    if (!this._kept.has(key)) this._kept.set(key, compute());
    return this._kept.get(key);
  }

  /** Raw values of the example: pixels from 0 to 255, or the columns' values. */
  raw() {
    const { source, row, raw } = this.state;
    if (source === "row") return this.subject.rows.raw(row);
    return (raw ? this.subject.read(raw) : null) ?? this.subject.blank;
  }

  /** The example as the network takes it. */
  example() {
    const { source, row } = this.state;
    return this._once("example", () => (source === "row" && this.subject.rows
      ? this.subject.rows.input(row) : this.subject.encode(this.raw())));
  }

  /** The test-mode pass of the example alone. */
  answer() {
    return this._once("answer", () => this.network.forward(this.example()));
  }

  /** The label that the loss is for: the chosen one, the row's own, or what the network says. */
  target() {
    return this._once("target", () => {
      const { label, source, row } = this.state;
      const { subject } = this;
      if (label !== null) return [].concat(label);
      if (source === "row" && subject.rows?.target) return subject.rows.target(row);
      const scores = Array.from(this.answer().scores.data);
      if (subject.task === "regress") return scores;
      if (subject.task === "multilabel") return scores.map((score) => Number(score > 0));
      return [scores.length === 1 ? Number(scores[0] > 0) : scores.indexOf(Math.max(...scores))];
    });
  }

  /** The example, and behind it rows that keep it company: {X, y, N}. */
  batch() {
    return this._once("batch", () => {
      const rows = [this.subject.training, this.subject.rows].find((each) => each?.target);
      const others = this.training && rows ? this.state.batch - 1 : 0;
      const examples = [this.example()];
      const targets = [this.target()];
      // The rows at the front are the mistakes, or the example itself: company comes from behind.
      for (let k = 0; k < others; k++) {
        const row = rows.count - 1 - (k % rows.count);
        examples.push(rows.input(row));
        targets.push(rows.target(row));
      }
      const each = examples[0].length;
      const X = new Float32Array(each * examples.length);
      examples.forEach((example, n) => X.set(example, n * each));
      const Numbers = this.subject.task === "regress" ? Float32Array : Int32Array;
      return { X, y: Numbers.from(targets.flat()), N: examples.length };
    });
  }

  /** The pass that is walked through. */
  trace() {
    return this._once("trace", () => this._forward(this.network));
  }

  _forward(network) {
    if (!this.training && network === this.network) return this.answer();
    const mode = this.training ? "train" : "test";
    return network.forward(this.batch().X, { mode, random: seeded(this.state.seed) });
  }

  gradients() {
    return this._once("gradients", () => this.network.backward(this.trace(), this.batch().y));
  }

  /** The same with the chosen mistake: {network, trace, gradients}, or null where none is chosen. */
  broken() {
    return this._once("broken", () => {
      const { mistake, where } = this.state;
      if (this.state.view !== "break" || !mistake) return null;
      const network = planted(this.network, mistake, where);
      const trace = this._forward(network);
      return { network, trace, gradients: network.backward(trace, this.batch().y) };
    });
  }

  /** What is shown of the chosen layer: its arrays, as the view has them. */
  arrays(position = this.state.layer) {
    const layer = this.network.layers[position];
    const of = (own) => layer.names[own];
    const params = layer.trained.map((own) => ({ own, id: of(own), name: of(own), role: "param" }));
    const x = { own: "x", id: `a${position}`, name: "x", role: "input" };
    const out = { own: "out", id: `a${position + 1}`, name: "out", role: "output" };
    if (this.state.view === "forward" || this.state.view === "train") {
      return [x, ...params, ...this._between(layer), out];
    }
    const gradients = layer.trained.map((own) => (
      { own: `d${own}`, id: `d${of(own)}`, name: `d${of(own)}`, role: "gradient" }));
    return [
      ...(this.state.view === "break" ? [out] : []),
      { own: "dout", id: `g${position + 1}`, name: "dout", role: "upstream" }, x, ...params,
      ...this._between(layer), { own: "dx", id: `g${position}`, name: "dx", role: "gradient" },
      ...gradients,
    ];
  }

  /** What a layer's pass leaves on the way: batch norm's statistics, dropout's mask. */
  _between(layer) {
    const { position, kind, names } = layer;
    const found = [];
    const add = (own) => found.push({
      own, id: `${own}${position}`, name: BETWEEN[own] ?? own, role: "between",
    });
    if (kind === "BatchNorm" && !this.training) {
      for (const own of ["running_mean", "running_var"]) {
        found.push({ own, id: names[own], name: names[own], role: "state" });
      }
    } else if (kind === "BatchNorm" || kind === "LayerNorm") ["mean", "variance"].forEach(add);
    if (kind.endsWith("Norm")) add("xHat");
    if (kind === "Dropout" && this.training) add("mask");
    return found;
  }

  /**
   * An array by its id, as the pass or the broken pass has it.
   *
   * @returns {{shape: number[], data: ArrayLike<number>} | null}
   */
  array(id, { right = false } = {}) {
    const broken = right ? null : this.broken();
    const network = broken?.network ?? this.network;
    const trace = broken?.trace ?? this.trace();
    const gradients = () => broken?.gradients ?? this.gradients();
    const last = network.layers.length;
    const [, letter, digits] = /^([ag])(\d+)$/.exec(id) ?? [];
    if (letter === "a") return Number(digits) < last ? trace.steps[digits].x : trace.scores;
    if (letter === "g") return Number(digits) < last ? gradients().inputs[digits] : gradients().scores;
    if (network.params[id] || network.state[id]) return network.params[id] ?? network.state[id];
    if (id.startsWith("d") && network.params[id.slice(1)]) return gradients().params[id.slice(1)];
    const [, own, position] = /^([A-Za-z]+)(\d+)$/.exec(id) ?? [];
    const found = trace.steps[position]?.[own];
    if (!found) return null;
    return found.shape ? found : { shape: this._shapeOf(own, trace.steps[position]), data: found };
  }

  _shapeOf(own, step) {
    return own === "mask" ? step.x.shape : [step[own].length];
  }

  /** The chosen array and the flat index of the chosen entry. */
  place() {
    const entry = this.arrays().find(({ own }) => own === this.state.array);
    // A mistake may have given it another shape; what is explained is the entry that should be there.
    const { shape } = this.array(entry.id, { right: true });
    const read = parseCoordinates(shape, this.state.at);
    return { ...entry, shape, index: read.error ? 0 : read.index };
  }

  /** Choose an entry by its flat index. */
  choose(own, index) {
    const { id } = this.arrays().find((entry) => entry.own === own);
    this.update({ array: own, at: coordinates(this.array(id).shape, index).join(",") });
  }

  /**
   * How the chosen number came about.
   *
   * @returns {{explanation: object, difference: (() => object) | null} | null}  null for what is
   *   given: an input, a parameter. difference gives a gradient's entry by central differences: two
   *   passes in float64, which take longer than all the rest.
   */
  explanation() {
    const { own, shape, index } = this.place();
    const at = coordinates(shape, index);
    const { layer } = this.state;
    const broken = this.broken();
    const network = broken?.network ?? this.network;
    const trace = broken?.trace ?? this.trace();
    if (own === "out") return forward(explainForward(network, trace, layer, at));
    if (own === "x" && layer > 0) return forward(explainForward(network, trace, layer - 1, at));
    if (!/^d/.test(own)) return null;
    const gradients = broken?.gradients ?? this.gradients();
    const entry = own === "dout" ? { position: layer + 1, which: "x", index: at }
      : { position: layer, which: own.slice(1), index: at };
    const { y } = this.batch();
    const explanation = explainBackward(network, trace, gradients, y, entry);
    // Taken later, but of the passes of now.
    const [rightNetwork, rightTrace] = [this.network, this.trace()];
    return { explanation, difference: () => differenceOf(rightNetwork, rightTrace, y, entry) };
  }
}

function forward(explanation) {
  return { explanation, difference: null };
}
