/** The assignment's questions that can be answered by pointing, each a state of this page. */

import { derivedIn } from "handgrad-page/views/explanation";
import { DEFAULTS } from "handgrad-page/views/session";
import { SMALL_KINDS } from "handgrad-page/views/small";
import { fill, make } from "handgrad-page/views/text";

/**
 * @typedef {object} Question
 * @property {string} number, title
 * @property {string} theory  the page that derives the answer
 * @property {string[]} kinds  layers, one of which it is about; the small network has them all
 * @property {object} state  what to look at
 * @property {"deep"} [net]  where it is seen best, whatever the model
 * @property {string} own  the array to begin with, if not the layer's output
 * @property {string[]} steps  what to do, and what is seen
 */

/** @type {Question[]} */
export const QUESTIONS = [
  {
    number: "1.1", theory: "fully_connected", title: "Fully connected", kinds: ["Dense"], own: "dW",
    state: { view: "backward" },
    steps: [
      "Choose any entry of dW. The sum runs over the examples of the batch: each term is one entry of x times one of dout, of the same example.",
      "Which row of x, and which column of dout, are outlined? That is ∂L/∂W = xᵀ dout.",
      "Choose an entry of db: it is the sum of a column of dout. Choose one of dx: a row of dout with a row of W.",
      "Central differences give the same number without knowing the formula.",
    ],
  },
  {
    number: "1.2", theory: "relu", title: "ReLU", kinds: ["ReLU"], own: "dx", state: { view: "backward" },
    steps: [
      "Choose an entry of dx. Its only source is the entry of dout at the same place.",
      "Find one where x is negative: dx is 0 there, whatever dout is. Where x is positive, dout passes unchanged.",
      "So ∂L/∂x = dout where x > 0, and 0 elsewhere. At x = 0 exactly, the code takes 0.",
    ],
  },
  {
    number: "1.3", theory: "dropout", title: "Dropout", kinds: ["Dropout"], own: "out",
    state: { view: "forward", mode: "train" },
    steps: [
      "In training, out is x where the mask is 1, and 0 where it is 0. Draw another mask, and other units are dropped.",
      "Turn to testing: no unit is dropped, and every x is multiplied by the probability to keep, the mean over all masks.",
      "Turn to Backward: dx is dout times the same mask.",
    ],
  },
  {
    number: "1.4", theory: "batch_normalisation", title: "Batch norm", kinds: ["BatchNorm"], own: "dx", state: { view: "backward", batch: 4 },
    steps: [
      "Choose an entry of dx. It comes of a whole channel of dout, over all examples: through its own x, through the mean, and through the variance.",
      "Read the numbers on the way: the mean, the variance, dγ and dβ.",
      "Turn to Forward: in training the batch’s own mean and variance are used, in testing those kept from training.",
    ],
  },
  {
    number: "1.5", theory: "convolution", title: "Convolution", kinds: ["Conv"], own: "dW", state: { view: "backward" },
    steps: [
      "Choose an entry of dW: it is the sum, over examples and positions, of dout times the pixel that this weight met there.",
      "Choose an entry of dx: the outputs whose patch held that pixel, each times the weight it was met with. Read in order, the filter is turned by 180°.",
      "Turn to Forward, and choose an output: the patch, the filter, their products, the sum.",
    ],
  },
  {
    number: "7.1", theory: "sigmoid_networks", title: "Sigmoid or ReLU", kinds: [], own: "", net: "deep",
    state: { view: "train", units: "Sigmoid", start: "fresh", rule: "sgd", rate: 0.1, steps: 0 },
    steps: [
      "Make one step with sigmoids, and read how large each layer’s gradient is: from layer to layer towards the input it shrinks. Then train some epochs: the loss hardly moves.",
      "Choose ReLU among the units, and do the same: the gradients are of one size, and the loss falls.",
    ],
  },
  {
    number: "7.2", theory: "dropout_at_inference", title: "Dropout, on and off", kinds: ["Dropout"], own: "",
    state: { view: "train", units: "as is", start: "fresh", rule: "sgd_momentum", rate: 0.05, steps: 0 },
    steps: [
      "Train some epochs with dropout, then without. With it the loss of the steps is higher and noisier: each step trains another thinned network. What counts is the accuracy on the rows held back.",
      "Then see in Forward how testing replaces the masks by their mean.",
    ],
  },
  {
    number: "7.3", theory: "diverging_loss", title: "A rate that diverges", kinds: [], own: "",
    state: { view: "train", units: "as is", start: "fresh", rule: "sgd", rate: 10, steps: 0 },
    steps: [
      "Train at this rate: the loss shoots up, and ends as no number, or on a plateau where every unit is dead and all gradients are 0.",
      "Divide the rate by ten, start again, and find the largest rate that still learns.",
    ],
  },
];

/**
 * The state that a question asks for: its layer in the model, or in a small network of this page.
 *
 * @param {Question} question
 * @param {import("handgrad-page/views/session").Subject} model
 */
export function stateOf({ number, kinds, own, state, net }, { network, training }) {
  const position = network.layers.findIndex(({ kind }) => kinds.includes(kind));
  const here = !net && (!kinds.length || position >= 0) && (state.view !== "train" || training?.target);
  const found = here ? position : SMALL_KINDS.indexOf(kinds[0]);
  const { source, row, raw, label, ...usual } = DEFAULTS; // the example stays
  return {
    ...usual, ...state, question: number, net: here ? "model" : net ?? "small",
    layer: Math.max(0, found), array: own || "out", at: "",
  };
}

const ELSEWHERE = {
  small: "This model has no such layer, or no rows to train on; here is a small network that has.",
  deep: "It takes a deep network without batch norm to see it; here is a small one.",
};

export class QuestionsView {
  /**
   * @param {HTMLElement} element
   * @param {HTMLElement} guide  where the chosen question's steps are told
   * @param {import("handgrad-page/views/session").Session} session
   * @param {(state: object) => string} address  of a state
   * @param {import("handgrad-page/views/explanation").Sources} sources
   */
  constructor(element, guide, session, address, sources) {
    Object.assign(this, { element, guide, session, sources });
    const model = session.subjectNamed("model");
    this.links = QUESTIONS.map((question) => {
      const state = stateOf(question, model);
      return make("a", {
        href: address(state), "data-question": question.number, onclick: (event) => {
          event.preventDefault();
          if (session.trained) session.look(null);
          session.update({ ...state, label: null });
          guide.focus();
        },
      }, make("b", {}, question.number), question.title);
    });
    element.append(make("nav", { "aria-label": "Questions to answer by pointing" },
      make("ul", { class: "questions" }, ...this.links.map((link) => make("li", {}, link)))));
  }

  render() {
    const { question, net } = this.session.state;
    const chosen = QUESTIONS.find(({ number }) => number === question);
    this.links.forEach((link) => {
      if (link.dataset.question === question) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    this.guide.hidden = !chosen;
    if (!chosen) return;
    const elsewhere = ELSEWHERE[net] ? make("p", { class: "soft" }, ELSEWHERE[net]) : null;
    fill(this.guide, make("h3", {}, `${chosen.number} ${chosen.title}`), elsewhere,
      make("ol", {}, ...chosen.steps.map((step) => make("li", {}, step))),
      derivedIn("The answer is derived in", this.sources, chosen.theory),
      make("button", { type: "button", onclick: () => this.session.update({ question: "", net: "model" }) },
        elsewhere ? "Back to the model" : "Close"));
  }
}
