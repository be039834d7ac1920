/**
 * A network: layers in sequence, one loss at the end, an L2 penalty on the weights.
 *
 * The numbers are those of `handgrad.network.Network` with the same description and parameters.
 *
 * @typedef {import("handgrad-page/tensor").Tensor} Tensor
 *
 * @typedef {object} Description  What `handgrad.network_spec.to_spec` gives.
 * @property {{kind: string}[]} layers  kind and settings: {kind: "Conv", filters: 16, size: 5, ...}
 * @property {number[]} input_shape  of one example: [D] or [C, H, W]
 * @property {string} loss  softmax, logistic, svm, multilabel, mse, mae or huber
 * @property {object} loss_options  {label_smoothing} of softmax, {delta} of huber
 * @property {number} reg
 * @property {"float32" | "float64"} dtype
 *
 * @typedef {object} Layer  One of `network.layers`.
 * @property {string} kind  the class's name in handgrad.network: Dense, Conv, BatchNorm, ...
 * @property {object} settings  the description's other entries: {units: 100}
 * @property {number} position  from 0
 * @property {number[]} shapeIn, shapeOut  of one example
 * @property {Object<string, string>} names  own name to the network's: {W: "W1", b: "b1"}, of a
 *   batch norm also {running_mean: "running_mean1", running_var: "running_var1"}
 * @property {string[]} trained  the own names that training moves by a gradient: ["W", "b"]
 *
 * @typedef {object} Step  What a layer's forward pass leaves, one of `trace.steps`.
 * @property {Tensor} x  (N, ...shapeIn)
 * @property {Tensor} out  (N, ...shapeOut)
 * @property {Uint8Array} [mask]  of dropout in training: 1 where a unit is kept
 * @property {Int32Array} [winners]  of max pooling: for each entry of out the offset in x
 * @property {Float64Array} [mean], [variance], [inverseStd]  of batch norm, one a channel, and of
 *   layer norm, one an example
 * @property {Tensor} [xHat]  of both: the normalised numbers, before gamma and beta
 * @property {?Tensor} [patches]  (N, taps, windows) of a convolution in training: what each tap of the
 *   filter read under each window
 * @property {{running_mean: Tensor, running_var: Tensor}} [moved]  of batch norm in training
 *
 * @typedef {object} Trace
 * @property {"train" | "test"} mode
 * @property {Step[]} steps  one a layer
 * @property {Tensor} scores  (N, outputs), the last layer's
 * @property {number} N
 *
 * @typedef {object} Gradients
 * @property {Object<string, Tensor>} params  by the network's names; the penalty's are in them
 * @property {Tensor[]} inputs  dx of each layer, in x's shape
 * @property {Tensor} scores  of the last layer's output, as the loss gives it
 */

import { KINDS } from "handgrad-page/layers";
import { LOSSES } from "handgrad-page/losses";
import { arraysFor } from "handgrad-page/products_wasm";
import { Tensor, sizeOf } from "handgrad-page/tensor";

/** On which parameters the L2 penalty is, and its factors in the loss and in the gradient. */
export const PENALTY = { own: ["W"], inLoss: 0.5, inGradient: 1 };

/** Layers in sequence, with their parameters and running statistics. */
export class Network {
  /**
   * @param {Description} description
   * @param {Object<string, Float32Array | Float64Array | number[]>} arrays  parameters and running
   *   statistics by name, row by row; one that is missing starts at 0 (gamma at 1)
   * @throws {Error} for a layer or loss that there is not, or an array of another size
   */
  constructor(description, arrays) {
    this.description = description;
    this.Numbers = description.dtype === "float64" ? Float64Array : Float32Array;
    this.inputShape = [...description.input_shape];
    this.reg = description.reg ?? 0;
    this.lossName = description.loss;
    this.lossOptions = description.loss_options ?? {};
    if (!LOSSES[this.lossName]) throw new Error(`there is no loss ${this.lossName}`);
    /** @type {Layer[]} */
    this.layers = [];
    /** @type {Object<string, Tensor>} */
    this.params = {};
    /** @type {Object<string, Tensor>} */
    this.state = {};
    this.operations = [];
    this.lossFunction = LOSSES[this.lossName];
    this._penalty = PENALTY;
    this._build(arrays);
  }

  _build(arrays) {
    const counts = { weights: 0, norm: 0 }, found = [];
    let shape = this.inputShape;
    for (const [position, { kind, ...settings }] of this.description.layers.entries()) {
      const operations = KINDS[kind];
      if (!operations) throw new Error(`there is no layer ${kind}`);
      const shapes = operations.parameterShapes?.(settings, shape) ?? {};
      const names = {};
      if (Object.keys(shapes).length) {
        const family = "gamma" in shapes ? "norm" : "weights";
        counts[family] += 1;
        for (const own of Object.keys(shapes)) names[own] = `${own}${counts[family]}`;
      }
      const shapeOut = operations.outputShape(settings, shape);
      const trained = Object.keys(shapes).filter((own) => !own.startsWith("running_"));
      this.layers.push({ kind, settings, position, shapeIn: shape, shapeOut, names, trained });
      this.operations.push(operations);
      for (const [own, wanted] of Object.entries(shapes)) {
        const home = trained.includes(own) ? this.params : this.state;
        found.push({ home, name: names[own], shape: wanted, ones: own === "gamma" });
      }
      shape = shapeOut;
    }
    this.outputShape = shape;
    this._fill(found, arrays);
    const first = this.layers.findIndex((layer) => layer.trained.length);
    // Below it nothing has a parameter to move: training asks for no gradient there.
    this.firstTrained = first < 0 ? this.layers.length : first;
  }

  /** Make the arrays that were found, of what is given for them. */
  _fill(found, given) {
    const sizes = found.map(({ shape }) => sizeOf(shape));
    const rows = this.layers.map(({ shapeIn, shapeOut }) => sizeOf(shapeIn) + sizeOf(shapeOut));
    const single = this.Numbers === Float32Array;
    const made = single ? arraysFor(sizes, Math.max(...rows)) : sizes.map((n) => new Float64Array(n));
    for (const [i, { home, name, shape, ones }] of found.entries()) {
      const own = given[name];
      if (own && own.length !== sizes[i]) {
        throw new Error(`${name} must have ${sizes[i]} numbers; got ${own.length}`);
      }
      if (own) made[i].set(own);
      else made[i].fill(ones ? 1 : 0);
      home[name] = new Tensor(shape, made[i]);
    }
  }

  /** A copy with its own parameters; of float64 where wished, as differences need it. */
  copy(dtype = this.description.dtype) {
    const arrays = {};
    for (const [name, tensor] of Object.entries({ ...this.params, ...this.state })) {
      arrays[name] = tensor.data;
    }
    const other = new Network({ ...this.description, dtype }, arrays);
    return other.with({ operations: this.operations, loss: this.lossFunction, penalty: this._penalty });
  }

  /**
   * A network of the same parameters whose arithmetic differs, as mistakes need it.
   *
   * @param {object} parts
   * @param {object[]} [parts.operations]  of each layer, as in `layers.mjs`
   * @param {object} [parts.loss]  as in `losses.mjs`
   * @param {object} [parts.penalty]  as PENALTY
   */
  with({ operations = this.operations, loss = this.lossFunction, penalty = this._penalty }) {
    const other = Object.assign(Object.create(Network.prototype), this);
    return Object.assign(other, { operations, lossFunction: loss, _penalty: penalty });
  }

  /** Parameters and statistics of one layer under its own names: {W: Tensor, b: Tensor}. */
  own(position) {
    const found = {};
    for (const [own, name] of Object.entries(this.layers[position].names)) {
      found[own] = this.params[name] ?? this.state[name];
    }
    return found;
  }

  /** Examples as the layers take them: (N, ...inputShape) in the network's numbers. */
  examples(X) {
    const data = X instanceof Tensor ? X.data : X;
    const each = sizeOf(this.inputShape);
    if (!data.length || data.length % each) {
      throw new Error(`an example has ${each} numbers; got ${data.length} in all`);
    }
    const own = data instanceof this.Numbers ? data : this.Numbers.from(data);
    return new Tensor([data.length / each, ...this.inputShape], own);
  }

  /**
   * Run the layers.
   *
   * @param {Tensor | Float32Array | Float64Array | number[]} X  N examples
   * @param {object} [options]
   * @param {"train" | "test"} [options.mode]  batch norm's statistics and dropout; "test" if left out
   * @param {() => number} [options.random]  uniform in [0, 1), for dropout in training
   * @param {Trace} [options.masksOf]  take the dropout masks of this trace, and draw none
   * @param {number} [options.from]  begin with this layer: X is its input (N, ...shapeIn)
   * @returns {Trace}
   */
  forward(X, { mode = "test", random = null, masksOf = null, from = 0 } = {}) {
    let out = from ? X : this.examples(X);
    const steps = new Array(this.layers.length);
    for (let position = from; position < this.layers.length; position++) {
      const mask = masksOf?.steps[position]?.mask ?? null;
      const context = { mode, random, mask };
      const own = this.own(position);
      steps[position] = this.operations[position].forward(out, this.layers[position], own, context);
      out = steps[position].out;
    }
    return { mode, steps, scores: out, N: out.shape[0] };
  }

  /**
   * The loss of a trace, penalty included.
   *
   * @param {Trace} trace
   * @param {ArrayLike<number>} y  labels (N), or targets (N * outputs) row by row
   * @returns {number}
   */
  loss(trace, y) {
    return this.lossFunction.forward(trace.scores, y, this.lossOptions) + this.penalty();
  }

  /** 0.5 * reg * sum(W^2) over the weights. */
  penalty() {
    let sum = 0;
    for (const name of this._penalised()) {
      const W = this.params[name].data;
      for (let i = 0; i < W.length; i++) sum += W[i] * W[i];
    }
    return this._penalty.inLoss * this.reg * sum;
  }

  /** Add reg * W to the gradient of each weight W. */
  _addPenalty(gradients) {
    const factor = this._penalty.inGradient * this.reg;
    for (const name of this._penalised()) {
      const W = this.params[name].data, dW = gradients[name].data;
      for (let i = 0; i < W.length; i++) dW[i] += factor * W[i];
    }
  }

  _penalised() {
    if (!this.reg) return [];
    const own = this.layers.flatMap(({ names }) => this._penalty.own.map((each) => names[each]));
    return own.filter((name) => name !== undefined);
  }

  /**
   * The gradients of `loss(trace, y)`.
   *
   * @param {Trace} trace
   * @param {ArrayLike<number>} y
   * @param {object} [options]
   * @param {boolean} [options.all]  false leaves out `inputs` below the first layer with
   *   parameters, which training has no use for
   * @returns {Gradients}
   */
  backward(trace, y, { all = true } = {}) {
    const scores = this.lossFunction.backward(trace.scores, y, this.lossOptions);
    const inputs = new Array(this.layers.length);
    const params = {};
    let dout = scores;
    const end = all ? 0 : this.firstTrained;
    for (let position = this.layers.length - 1; position >= end; position--) {
      const layer = this.layers[position];
      const needDx = all || position > end;
      const own = this.own(position);
      const found = this.operations[position].backward(dout, trace.steps[position], layer, own, needDx);
      for (const name of layer.trained) params[layer.names[name]] = found[name];
      dout = inputs[position] = found.dx;
    }
    this._addPenalty(params);
    return { params, inputs, scores };
  }

  /** Take over the running statistics that a training pass has moved. */
  keepStatistics(trace) {
    for (const { position, names } of this.layers) {
      for (const [own, tensor] of Object.entries(trace.steps[position].moved ?? {})) {
        this.state[names[own]] = tensor;
      }
    }
  }
}
