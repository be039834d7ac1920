// Runs the page's arithmetic for the tests: cases come as JSON, one a line; answers go back alike.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const page = (name) => import(pathToFileURL(`${process.argv[2]}/${name}.mjs`));
const { Network } = await page("network");
const { Tensor, indexOf } = await page("tensor");
const { explainForward, explainBackward, explainLoss, gradientOf } = await page("explain");
const { differenceOf } = await page("differences");
const { Trainer, changed } = await page("training");
const { MISTAKES, placesOf, planted } = await page("mistakes");
const { modelFile, NETWORK_HERE } = await page("model_file");
const { KINDS } = await page("layers");
const { vectorProduct } = await page("products_wasm");
const products = { ...(await page("products")), vectors: vectorProduct() };

const plain = (tensor) => tensor && { shape: tensor.shape, data: Array.from(tensor.data, kept) };
// JSON has no NaN and no infinity.
const kept = (value) => (Number.isFinite(value) ? value : String(value));
const all = (tensors) => Object.fromEntries(Object.entries(tensors).map(([name, each]) => [name, plain(each)]));

/** The numbers of a list, one after another. */
const drawn = (draws) => {
  let next = 0;
  return () => draws[next++];
};

function passOf({ description, arrays, X, y, mode = "train", draws = [], mistake }) {
  const right = new Network(description, arrays);
  const network = mistake ? planted(right, mistake) : right;
  const trace = network.forward(X, { mode, random: drawn(draws) });
  return { right, network, trace, y, gradients: network.backward(trace, y) };
}

const RUNS = {
  pass(given) {
    const { network, trace, y, gradients } = passOf(given);
    network.keepStatistics(trace);
    return {
      outs: trace.steps.map(({ out }) => plain(out)), loss: kept(network.loss(trace, y)),
      params: all(gradients.params), inputs: gradients.inputs.map(plain),
      scores: plain(gradients.scores), state: all(network.state),
      trained: Object.keys(network.backward(trace, y, { all: false }).params),
    };
  },

  // Some entries of every array of a pass, explained; of the gradients with the differences.
  explain(given) {
    const { right, network, trace, y, gradients } = passOf(given);
    const rightGradients = right.backward(trace, y);
    const some = (tensor) => Array.from({ length: Math.min(given.some, tensor.size) }, (_, i) =>
      indexOf(tensor.shape, Math.floor(((i + 0.5) * tensor.size) / Math.min(given.some, tensor.size))));
    const forward = trace.steps.flatMap(({ out }, position) =>
      some(out).map((index) => explainForward(network, trace, position, index)));
    const places = network.layers.flatMap(({ position, trained }) =>
      ["x", ...trained].map((which) => ({ position, which })));
    places.push({ position: network.layers.length, which: "x" });
    const backward = places.flatMap(({ position, which }) =>
      some(gradientOf(right, rightGradients, position, which)).map((index) => {
        const entry = { position, which, index };
        const explained = explainBackward(network, trace, gradients, y, entry);
        return { ...explained, ...differenceOf(right, trace, y, entry), kind: network.layers[position]?.kind ?? "loss" };
      }));
    const losses = Array.from({ length: trace.N }, (_, n) => explainLoss(network, trace, y, n));
    return { forward, backward, losses, loss: network.loss(trace, y), penalty: network.penalty() };
  },

  train({ description, arrays, batches, rule, settings, mistake, draws = [] }) {
    const right = new Network(description, arrays), network = mistake ? planted(right, mistake) : right;
    const trainer = new Trainer(network, batches[0].X, batches[0].y, { rule, settings });
    trainer.random = drawn(draws);
    const losses = batches.map(({ X, y }) => kept(trainer.stepOn(X, y)));
    const { diverged, steps } = trainer;
    return { losses, diverged, steps, params: all(network.params), state: all(network.state) };
  },

  epochs({ description, arrays, X, y, epochs, options }) {
    const network = new Network(description, arrays);
    const trainer = new Trainer(network, X, y, options);
    const means = Array.from({ length: epochs }, () => kept(trainer.epoch()));
    const { losses, steps, diverged } = trainer;
    return { means, losses: losses.map(kept), steps, epochs: trainer.epochs, diverged, params: all(network.params) };
  },

  changed({ description, arrays, changes }) {
    const network = new Network(description, arrays);
    const other = changed(network, changes);
    other.params.W1.data[0] += 1;
    return { description: other.description, params: all(other.params), W1: plain(network.params.W1) };
  },

  layer({ description, arrays, x, dout, mode, draws = [], mistake }) {
    const right = new Network(description, arrays);
    const network = mistake ? planted(right, mistake) : right;
    const trace = network.forward(x, { mode, random: drawn(draws) });
    const [step] = trace.steps, [layer] = network.layers;
    const upstream = new Tensor(step.out.shape, network.Numbers.from(dout));
    const found = network.operations[0].backward(upstream, step, layer, network.own(0), true);
    network.keepStatistics(trace);
    return { out: plain(step.out), gradients: all(found), state: all(network.state) };
  },

  loss({ description, arrays, scores, y, mistake }) {
    const right = new Network(description, arrays);
    const { lossFunction } = mistake ? planted(right, mistake) : right;
    const x = new Tensor([y.length, scores.length / y.length], Float64Array.from(scores));
    return { loss: lossFunction.forward(x, y, {}), dx: plain(lossFunction.backward(x, y, {})) };
  },

  mistakes: () => Object.fromEntries(Object.entries(MISTAKES).map(([name, { kind, loss, pass, penalty }]) =>
    [name, { kind, loss, pass, penalty: Boolean(penalty) }])),

  places: ({ description, arrays, names }) =>
    Object.fromEntries(names.map((name) => [name, placesOf(new Network(description, arrays), name)])),

  file({ description, arrays, header, others }) {
    const decoded = Object.entries(others).map(([name, { data, ...rest }]) =>
      [name, { ...rest, data: Uint8Array.from(Buffer.from(data, "base64")) }]);
    const bytes = modelFile(new Network(description, arrays), { header, arrays: Object.fromEntries(decoded) });
    return Buffer.from(bytes).toString("base64");
  },

  constants: () => ({ kinds: Object.keys(KINDS), NETWORK_HERE }),

  product({ sizes, A, B, C, numbers, call }) {
    const of = ({ data, ...rest }) => ({ ...rest, data: globalThis[numbers].from(data) });
    const out = of(C);
    products[call](sizes, of(A), of(B), out);
    return Array.from(out.data);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { run, ...given } = JSON.parse(line);
  let answer;
  try {
    answer = RUNS[run](given);
  } catch (error) {
    answer = { error: error.message, stack: error.stack };
  }
  process.stdout.write(`${JSON.stringify(answer ?? null)}\n`);
}
