// The page's arithmetic beside TensorFlow.js: runs in the page that benchmarks/show_page.py serves.
import { Network } from "handgrad-page/network";
import { normalFrom, seeded } from "handgrad-page/random";
import { sizeOf } from "handgrad-page/tensor";
import { Trainer, changed } from "handgrad-page/training";

const RATE = 0.01, MOMENTUM = 0.9, EXAMPLES = 20;
const conv = (filters, size) => ({ kind: "Conv", filters, size, stride: 1, padding: 0, bias: false });
const dense = (units) => ({ kind: "Dense", units });
const norm = { kind: "BatchNorm", momentum: 0.9, eps: 1e-5 };
const relu = { kind: "ReLU" }, pool = { kind: "MaxPool", size: 2, stride: null }, flat = { kind: "Flatten" };
const block = (filters, size) => [conv(filters, size), norm, relu, pool];

// Question 5.4's two blocks, 5.3's default, and the dense nets of 4.4 and 2.4.
const NETS = {
  "ConvNet 5x5x16, 2 blocks, fc 128": {
    input_shape: [1, 28, 28], loss: "softmax",
    layers: [...block(16, 5), ...block(32, 5), flat, dense(128), norm, relu, dense(10)],
  },
  "ConvNet 7x7x32, fc 100": {
    input_shape: [1, 28, 28], loss: "softmax",
    layers: [conv(32, 7), relu, pool, flat, dense(100), relu, dense(10)],
  },
  "784-800-10": { input_shape: [784], loss: "softmax", layers: [dense(800), relu, dense(10)] },
  "20-40-1": { input_shape: [20], loss: "logistic", layers: [dense(40), relu, dense(1)] },
};

function start(description) {
  const whole = { ...description, loss_options: {}, reg: 0, dtype: "float32", weight_scale: "he" };
  return changed(new Network(whole, {}), { seed: 1 });
}

function rowsOf({ input_shape, loss }) {
  const random = seeded(2);
  const X = Float32Array.from({ length: EXAMPLES * sizeOf(input_shape) }, () => normalFrom(random));
  const y = Float32Array.from({ length: EXAMPLES }, () => Math.floor(random() * (loss === "softmax" ? 10 : 2)));
  return { X, y };
}

/** The fastest, median and quartiles of a call in milliseconds, after some that warm up. */
async function timed(call, seconds) {
  const times = [], end = performance.now() + 1000 * seconds;
  for (let i = 0; i < 3; i++) call();
  while (performance.now() < end || times.length < 5) {
    const before = performance.now();
    let calls = 0; // a clock of a browser has steps of a tenth of a millisecond
    do {
      call();
      calls += 1;
    } while (performance.now() - before < 2);
    times.push((performance.now() - before) / calls);
    if (times.length % 5 === 0) await new Promise((done) => setTimeout(done));
  }
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.floor(share * times.length)];
  return { fastest: at(0), median: at(0.5), quartiles: [at(0.25), at(0.75)] };
}

async function ours(description, seconds) {
  const network = start(description), { X, y } = rowsOf(description);
  const one = X.slice(0, sizeOf(description.input_shape));
  const answer = await timed(() => network.forward(one).scores.data[0], seconds);
  const settings = { learning_rate: RATE, momentum: MOMENTUM };
  const trainer = new Trainer(network, X, y, { rule: "sgd_momentum", settings, batchSize: EXAMPLES });
  return { answer, step: await timed(() => trainer.stepOn(X, y), seconds) };
}

// The same network in TensorFlow.js's own operations: no model object, whose bookkeeping costs time.
function theirNet(tf, description) {
  const variables = [], network = start(description);
  const variable = (values, shape) => {
    variables.push(tf.variable(tf.tensor(values, shape)));
    return variables.at(-1);
  };
  const steps = network.layers.map((layer, position) => {
    const own = network.own(position), { kind, shapeOut } = layer;
    if (kind === "Dense") {
      const W = variable(own.W.data, own.W.shape), b = variable(own.b.data, own.b.shape);
      return (x) => x.matMul(W).add(b);
    }
    if (kind === "Conv") {
      const [F, C, size] = own.W.shape; // their images have the channels last
      const W = variable(tf.tensor(own.W.data, [F, C, size, size]).transpose([2, 3, 1, 0]).dataSync(), [size, size, C, F]);
      return (x) => tf.conv2d(x, W, 1, "valid");
    }
    if (kind === "BatchNorm") {
      const C = shapeOut[0], gamma = variable(new Float32Array(C).fill(1), [C]), beta = variable(new Float32Array(C), [C]);
      const zeros = tf.zeros([C]), ones = tf.ones([C]);
      return (x, training) => {
        const found = training ? tf.moments(x, x.shape.slice(1).map((_, axis) => axis)) : { mean: zeros, variance: ones };
        return tf.batchNorm(x, found.mean, found.variance, beta, gamma, 1e-5);
      };
    }
    if (kind === "ReLU") return (x) => x.relu();
    if (kind === "MaxPool") return (x) => tf.maxPool(x, 2, 2, "valid");
    return (x) => x.reshape([x.shape[0], -1]);
  });
  return { variables, run: (x, training) => steps.reduce((out, step) => step(out, training), x) };
}

async function theirs(tf, description, seconds) {
  const { run } = theirNet(tf, description), { X, y } = rowsOf(description);
  const [C, H, W] = description.input_shape, shape = H ? [H, W, C] : [C];
  const one = X.slice(0, sizeOf(shape));
  const answer = await timed(() => tf.tidy(() => run(tf.tensor(one, [1, ...shape]), false).dataSync()[0]), seconds);
  const optimizer = tf.train.momentum(RATE, MOMENTUM);
  const lossOf = () => {
    const scores = run(tf.tensor(X, [EXAMPLES, ...shape]), true);
    return description.loss === "softmax"
      ? tf.losses.softmaxCrossEntropy(tf.oneHot(tf.tensor1d(y, "int32"), 10), scores)
      : tf.losses.sigmoidCrossEntropy(tf.tensor2d(y, [EXAMPLES, 1]), scores);
  };
  const step = () => tf.tidy(() => optimizer.minimize(lossOf, true).dataSync()[0]);
  return { answer, step: await timed(step, seconds) };
}

const { seconds, backends } = await (await fetch("/plan")).json();
const results = {};
for (const [name, description] of Object.entries(NETS)) {
  results[name] = { handgrad: await ours(description, seconds) };
  for (const backend of backends) {
    await window.tf.setBackend(backend);
    await window.tf.ready();
    try {
      results[name][`tfjs ${backend}`] = await theirs(window.tf, description, seconds);
    } catch (error) {
      results[name][`tfjs ${backend}`] = { error: error.message };
    }
  }
}
const isolated = window.crossOriginIsolated, version = window.tf?.version?.tfjs ?? null;
await fetch("/result", { method: "POST", body: JSON.stringify({ results, version, isolated, agent: navigator.userAgent }) });
