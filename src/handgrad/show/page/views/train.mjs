/** Training on the page: the knobs, the steps, the curve, and what the weights do meanwhile. */

import { RULES } from "handgrad-page/training";
import { ArrayView } from "handgrad-page/views/array";
import { drawLoss } from "handgrad-page/views/charts";
import { PlaneView } from "handgrad-page/views/plane";
import { Run, accuracyOf, gradientSizes, keyOf } from "handgrad-page/views/run";
import { UNITS } from "handgrad-page/views/session";
import { shortNames } from "handgrad-page/views/row";
import { count, fill, make, number, percent } from "handgrad-page/views/text";

const SLICE = 14; // milliseconds of steps between two paintings
const PLANE_REST = 120; // milliseconds between two planes while training goes on
const RULE_NAMES = {
  sgd: "SGD", sgd_momentum: "SGD with momentum", nesterov: "Nesterov", rmsprop: "RMSprop", adam: "Adam", adamw: "AdamW",
};

export class TrainView {
  /**
   * @param {HTMLElement} element
   * @param {import("handgrad-page/views/session").Session} session
   * @param {import("handgrad-page/views/colours").Palette} palette
   * @param {object} actions
   * @param {(text: string) => void} actions.announce
   * @param {((network: object) => Uint8Array) | null} actions.write  a model file of a network
   */
  constructor(element, session, palette, { announce, write }) {
    Object.assign(this, { element, session, palette, announce, write });
    this.run = null;
    this.going = 0;
    this.planeAt = 0;
  }

  /** Make the controls for another network. */
  build() {
    this.stop();
    this.run = null;
    const { training, network } = this._base();
    if (!training) {
      fill(this.element, make("p", {}, "This page holds no labelled rows to train on: make it with --data FILE."),
        make("button", { type: "button", onclick: () => this.session.update({ net: "small" }) }, "Train a small network instead"));
      return;
    }
    fill(this.element, this._knobs(network), this._buttons(), this._facts(), this._pictures(network));
  }

  _base() {
    const { subject } = this.session;
    return { training: subject.training?.target ? subject.training : null, network: subject.network };
  }

  _knobs(network) {
    const kinds = network.layers.map(({ kind }) => kind);
    const choose = (name, options, label) => {
      const select = make("select", {
        onchange: () => this._again({ [name]: select.value }),
      }, ...options.map(([value, text]) => make("option", { value }, text)));
      this.knobs[name] = select;
      return make("label", { class: "field" }, label, select);
    };
    const figure = (name, label, attributes) => {
      const field = make("input", {
        type: "number", ...attributes, onchange: () => {
          const value = Number(field.value);
          if (field.value !== "" && value > 0) this._again({ [name]: value });
          else field.value = String(this.session.state[name]);
        },
      });
      this.knobs[name] = field;
      return make("label", { class: "field" }, label, field);
    };
    this.knobs = {};
    const activations = kinds.some((kind) => ["ReLU", "Sigmoid", "LeakyReLU", "Tanh"].includes(kind));
    const dropout = kinds.includes("Dropout") ? make("input", {
      type: "checkbox", onchange: () => this._again({ dropout: this.knobs.dropout.checked }),
    }) : null;
    if (dropout) this.knobs.dropout = dropout;
    return make("div", { class: "line", role: "group", "aria-label": "How to train" },
      choose("rule", Object.keys(RULES).map((name) => [name, RULE_NAMES[name] ?? name]), "Rule"),
      figure("rate", "Learning rate", { step: "any", min: "0" }),
      figure("size", "Examples a step", { step: "1", min: "1", max: "200" }),
      activations ? choose("units", UNITS.map((name) => [name, name === "as is" ? "as they are" : name]), "Units") : null,
      choose("start", [["fresh", "new random weights"], ["trained", "the model’s weights"]], "Begin with"),
      figure("shuffle", "Seed", { step: "1", min: "1" }),
      dropout ? make("label", { class: "check" }, dropout, "Dropout") : null);
  }

  _buttons() {
    const button = (name, action, primary) => make("button", {
      type: "button", class: primary ? "main" : null, onclick: action,
    }, name);
    const rows = this.session.subject.training;
    this.stopButton = button("Stop", () => this.stop());
    this.stopButton.classList.add("stop");
    this.resetButton = button("Start again", () => this._again({}));
    this.lookButton = button("Look inside", () => this._look());
    this.saveButton = button("Download the model", () => this._download());
    this.steppers = [
      button("One step", () => this.go(1), true), button("Ten steps", () => this.go(10), true),
      button("An epoch", () => this.go(this._untilEpoch()), true),
    ];
    return make("div", {}, make("div", { class: "line" }, ...this.steppers, this.stopButton, this.resetButton,
      this.lookButton, this.write && this.session.state.net === "model" ? this.saveButton : null),
    make("p", { class: "soft" }, `On ${count(rows.train)} rows`
      + `${rows.count > rows.train ? `; ${count(rows.count - rows.train)} more are held back to validate` : ""}`
      + `${rows.source ? ` (${rows.source})` : ""}.`));
  }

  _facts() {
    this.facts = make("dl", { class: "facts" });
    this.warning = make("p", { class: "notice", role: "alert", hidden: true });
    return make("div", {}, this.facts, this.warning);
  }

  _pictures(network) {
    this.curve = make("canvas", { role: "img", "aria-label": "The loss of each step" });
    this.curveText = make("figcaption", {});
    this.sizes = make("div", {});
    const { subject } = this.session;
    this.plane = PlaneView.fits(subject) ? new PlaneView(subject, this.palette, () => this._paintPlane()) : null;
    const weights = Object.keys(network.params).filter((name) => name.startsWith("W"));
    this.weightsHome = make("div", {});
    this.weightsName = weights[0] ?? null;
    const select = make("select", { onchange: () => this._showWeights(select.value) },
      ...weights.map((name) => make("option", { value: name }, name)));
    if (weights.length) this._showWeights(weights[0]);
    return make("div", { class: "training" },
      make("figure", {}, make("h3", {}, "Loss"), this.curve, this.curveText),
      this.plane?.element,
      make("figure", {}, make("h3", {}, "How large each gradient is"), this.sizes),
      make("figure", {}, make("h3", {}, "Weights, as they change"),
        make("label", { class: "field" }, "Which", select), this.weightsHome));
  }

  _showWeights(name) {
    const { inputs, network } = this.session.subject;
    this.weightsName = name;
    const image = name === "W1" && inputs.kind === "image" && network.layers[0].kind !== "Conv"
      ? [inputs.channels, inputs.height, inputs.width] : null;
    const view = new ArrayView({
      palette: this.palette, name, what: "weights", weights: true, image, onChoose: (index) => view.choose(index),
    });
    this.weights = view;
    fill(this.weightsHome, view.element);
    this._paintWeights();
  }

  /** Begin anew, with changed knobs. */
  _again(changes) {
    this.stop();
    this.run = null;
    this.session.update({ ...changes, steps: 0 });
    this._paint();
  }

  _begin() {
    this.run ??= new Run(this._base().network, this.session.subject.training, this.session.state);
    return this.run;
  }

  _untilEpoch() {
    return this._begin().stepsToEpoch();
  }

  /** Make some steps, a slice at a time: the page stays answerable. */
  go(steps) {
    const run = this._begin();
    this.stop();
    let left = steps;
    const slice = () => {
      const until = performance.now() + SLICE;
      do {
        run.trainer.step();
        left -= 1;
      } while (left > 0 && !run.trainer.diverged && performance.now() < until);
      if (left > 0 && !run.trainer.diverged) {
        this.going = requestAnimationFrame(slice);
        this._paint({ moving: true });
      } else this.stop();
    };
    this.going = requestAnimationFrame(slice);
    this._enable();
  }

  stop() {
    const was = this.going;
    cancelAnimationFrame(this.going);
    this.going = 0;
    if (!was || !this.run) return;
    this.session.update({ steps: this.run.trainer.steps });
    this._paint();
    this.announce(this._sentence());
  }

  _sentence() {
    const { trainer } = this.run;
    return trainer.diverged ? `Training diverged at step ${trainer.losses.length}.`
      : `Step ${trainer.steps}, loss ${number(trainer.losses.at(-1), 3)}.`;
  }

  /** Show the view; a link that asks for steps has them made. */
  render() {
    if (!this.knobs || !this._base().training) return;
    for (const [name, knob] of Object.entries(this.knobs)) {
      if (knob.type === "checkbox") knob.checked = this.session.state[name];
      else if (document.activeElement !== knob) knob.value = String(this.session.state[name]);
    }
    if (this.run && this.run.key !== keyOf(this.session.state)) {
      this.stop();
      this.run = null;
    }
    if (!this.run && this.session.state.steps > 0) this.go(this.session.state.steps);
    else this._paint({ moving: Boolean(this.going) });
  }

  _enable() {
    const diverged = this.run?.trainer.diverged ?? false;
    for (const button of this.steppers) button.disabled = this.going > 0 || diverged;
    this.stopButton.disabled = !this.going;
    this.resetButton.disabled = !this.run;
    this.lookButton.disabled = !this.run || this.going > 0;
    this.saveButton.disabled = !this.run || this.going > 0 || diverged;
  }

  _paint({ moving = false } = {}) {
    if (!this.steppers) return;
    const trainer = this.run?.trainer;
    const losses = trainer?.losses ?? [];
    this._enable();
    drawLoss(this.curve, this.palette, {
      steps: losses, smooth: smoothed(losses), diverged: trainer?.diverged ? losses.length - 1 : null,
    });
    this.curveText.textContent = losses.length ? "Each step’s loss, and thick their running mean."
      : "Make a step, and the curve begins.";
    this._paintWeights();
    if (!moving || performance.now() - this.planeAt > PLANE_REST) this._paintPlane();
    if (moving) return;
    this._paintSizes();
    this._paintFacts();
  }

  _paintFacts() {
    const trainer = this.run?.trainer;
    const fact = (name, value) => make("div", {}, make("dt", {}, name), make("dd", {}, value));
    const facts = [fact("steps", count(trainer?.steps ?? 0)), fact("epochs", count(trainer?.epochs ?? 0))];
    if (trainer?.losses.length) facts.push(fact("loss", number(trainer.losses.at(-1), 3)));
    if (this.run && this.session.subject.task === "classify") {
      const { training, validation } = accuracyOf(this.run);
      facts.push(fact("right on training rows", percent(training)));
      if (validation !== null) facts.push(fact("right on rows held back", percent(validation)));
    }
    fill(this.facts, ...facts);
    this.warning.hidden = !trainer?.diverged;
    this.warning.textContent = trainer?.diverged
      ? `Diverged: the loss of step ${trainer.losses.length} is no number any more, and training has stopped there. Take a lower learning rate, and start again.` : "";
  }

  _paintWeights() {
    const network = this.run?.network ?? this._base().network;
    if (this.weights && network.params[this.weightsName]) {
      this.weights.show(network.params[this.weightsName], this.run?.trainer.steps ?? 0);
    }
  }

  _paintPlane() {
    this.planeAt = performance.now();
    this.plane?.paint(this.run?.network ?? this._base().network, this.session.raw());
  }

  _paintSizes() {
    if (!this.run) {
      fill(this.sizes, make("p", { class: "soft" }, "Known after the first step."));
      return;
    }
    const names = shortNames(this.run.network.layers);
    const sizes = gradientSizes(this.run);
    const largest = Math.max(...sizes.map(({ size }) => (Number.isFinite(size) ? size : 0)), 1e-300);
    fill(this.sizes, make("table", { class: "scores sizes" },
      make("caption", { class: "unseen" }, "The mean size of an entry of each layer’s weight gradient"),
      make("tbody", {}, ...sizes.map(({ position, name, size }) => {
        const bar = make("i", {});
        bar.style.transform = `scaleX(${Number.isFinite(size) ? size / largest : 1})`;
        return make("tr", {}, make("th", { scope: "row" }, `d${name}, ${names[position]}`),
          make("td", {}, make("span", { class: "meter", "aria-hidden": "true" }, bar)),
          make("td", { class: "n mono" }, number(size, 3)));
      }))), make("p", { class: "soft" }, "Mean size of the entries, on 20 training rows, the input’s side first."));
  }

  _look() {
    this.session.update({ view: "forward", question: "" });
    this.session.look(this.run.network);
  }

  _download() {
    const blob = new Blob([this.write(this.run.network)], { type: "application/octet-stream" });
    const link = make("a", { href: URL.createObjectURL(blob), download: "model.safetensors" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    this.announce("The model file was handed to your browser.");
  }

}

/** The running mean of the losses: a twentieth of each new one. */
function smoothed(losses) {
  let mean = losses[0];
  return losses.map((loss, i) => {
    mean += (loss - mean) * Math.max(0.05, 1 / (i + 1));
    return mean;
  });
}
