/** What the network says to the example: scores, probabilities, and the loss for a label. */

import { explainLoss } from "handgrad-page/explain";
import { sigmoid } from "handgrad-page/layers_activations";
import { softmax } from "handgrad-page/losses";
import { fill, make, number, percent } from "handgrad-page/views/text";

export class AnswerView {
  /**
   * @param {HTMLElement} element
   * @param {import("handgrad-page/views/session").Session} session
   */
  constructor(element, session) {
    Object.assign(this, { element, session });
    this.verdict = make("p", { class: "verdict" });
    this.table = make("table", { class: "scores" });
    this.labels = make("div", { class: "line" });
    this.loss = make("p", {});
    this.how = make("div", {});
    this.details = make("details", { ontoggle: () => this._explainLoss() },
      make("summary", {}, "How the loss came about"), this.how);
    element.append(this.verdict, this.table, this.labels, this.loss, this.details);
    this.rows = [];
  }

  /** Show another network's outputs: rows are made once and filled at each answer. */
  build() {
    const probabilities = this._probabilities([0]) !== null;
    const heads = ["score", ...(probabilities ? ["probability"] : [])];
    const names = this._names();
    this.rows = names.map((name) => {
      const bar = make("i", {});
      const cells = {
        bar, score: make("td", { class: "n mono" }), share: make("td", { class: "n" }),
      };
      cells.row = make("tr", {}, make("th", { scope: "row" }, name),
        make("td", {}, make("span", { class: "meter", "aria-hidden": "true" }, bar)),
        cells.score, probabilities ? cells.share : null);
      return cells;
    });
    fill(this.table, make("caption", { class: "unseen" }, "What the network answers"),
      make("thead", {}, make("tr", {}, make("td", { colspan: "2" }),
        ...heads.map((title) => make("th", { scope: "col", class: "n" }, title)))),
      make("tbody", {}, ...this.rows.map(({ row }) => row)));
    this.penalty = this.session.network.penalty();
    this._buildLabels();
  }

  /** One row an output; of a binary loss there is one score, for its second class. */
  _names() {
    const { outputs, target } = this.session.subject;
    if (this._single()) return [outputs[1]];
    return target?.names ?? outputs;
  }

  _single() {
    const { subject, network } = this.session;
    return subject.task === "classify" && network.outputShape[0] === 1;
  }

  _buildLabels() {
    const { subject } = this.session;
    if (subject.task === "classify") {
      this.select = make("select", {
        onchange: () => this.session.update({ label: [Number(this.select.value)] }),
      }, ...subject.outputs.map((name, i) => make("option", { value: String(i) }, name)));
      fill(this.labels, make("label", { class: "field" }, "Loss for the label", this.select));
    } else if (subject.task === "multilabel") {
      this.boxes = subject.outputs.map(() => make("input", {
        type: "checkbox", onchange: () => this.session.update({ label: this.boxes.map((box) => Number(box.checked)) }),
      }));
      fill(this.labels, make("fieldset", {}, make("legend", {}, "Loss for the labels"),
        ...this.boxes.map((box, i) => make("label", { class: "check" }, box, subject.outputs[i]))));
    } else {
      const { names, mean, scale } = subject.target;
      const changed = () => {
        const values = this.fields.map((field) => Number(field.value));
        if (values.every(Number.isFinite)) {
          this.session.update({ label: values.map((value, i) => (value - mean[i]) / scale[i]) });
        }
      };
      this.fields = names.map(() => make("input", { type: "number", step: "any", onchange: changed }));
      fill(this.labels, ...this.fields.map((field, i) => make("label", { class: "field" },
        `Loss for ${names[i]} =`, field)));
    }
  }

  /** Fill in the answer to the example. */
  render() {
    const { session } = this;
    const { subject } = session;
    const trace = session.answer();
    const scores = Array.from(trace.scores.data);
    const shares = this._probabilities(scores);
    const regress = subject.task === "regress";
    const values = regress ? scores.map((s, i) => s * subject.target.scale[i] + subject.target.mean[i])
      : scores;
    const largest = Math.max(...scores.map(Math.abs), 1e-12);
    const best = this._best(scores);
    this.rows.forEach(({ row, bar, score, share }, i) => {
      bar.style.transform = `scaleX(${shares ? shares[i] : Math.abs(scores[i]) / largest})`;
      score.textContent = number(values[i]);
      if (shares) share.textContent = percent(shares[i]);
      row.classList.toggle("first", best.includes(i));
    });
    this._say(values, shares, best);
    this._showLoss(trace);
  }

  _say(values, shares, best) {
    const { subject, state } = this.session;
    const { outputs } = subject;
    let words;
    if (subject.task === "regress") {
      words = [values.map((value, i) => `${subject.target.names[i]} ${number(value)}`).join(", ")];
    } else if (subject.task === "multilabel") {
      words = [best.map((i) => outputs[i]).join(", ") || "none of the labels"];
    } else if (this._single()) {
      const positive = values[0] > 0;
      const share = shares && (positive ? shares[0] : 1 - shares[0]);
      words = [outputs[Number(positive)], share === null ? "" : percent(share)];
    } else words = [outputs[best[0]] ?? "no class", shares ? percent(shares[best[0]] ?? 0) : ""];
    fill(this.verdict, make("strong", {}, words[0]), words[1] ?? "");
    if (state.source === "row" && subject.rows?.target && subject.task === "classify") {
      const truth = outputs[subject.rows.target(state.row)[0]];
      this.verdict.append(truth === words[0] ? "" : make("span", { class: "differ" }, ` it is ${truth}`));
    }
    /** The answer in one sentence. */
    this.text = `The network says ${words.join(" ").trim()}.`;
  }

  _best(scores) {
    const { task } = this.session.subject;
    if (task === "regress") return [];
    if (task === "multilabel" || this._single()) return scores.flatMap((s, i) => (s > 0 ? [i] : []));
    return [scores.indexOf(Math.max(...scores))];
  }

  /** Probabilities of the scores, or null where the loss speaks of none. */
  _probabilities(scores) {
    const { lossName } = this.session.network;
    if (lossName === "softmax") return Array.from(softmax(scores));
    if (lossName === "logistic" || lossName === "multilabel") return scores.map(sigmoid);
    return null;
  }

  /** The formula with its numbers; computed while somebody looks at it. */
  _explainLoss() {
    if (!this.details.open) return;
    const { session } = this;
    const { formula, numbers, says } = explainLoss(session.network, session.answer(), session.target(), 0);
    fill(this.how, make("p", {}, says), make("p", { class: "formula" }, formula),
      make("p", { class: "formula filled" }, numbers));
  }

  _showLoss(trace) {
    const { session } = this;
    const { subject, network } = session;
    const target = session.target();
    const loss = network.lossFunction.forward(trace.scores, target, network.lossOptions);
    fill(this.loss, "Loss ", make("strong", { class: "mono" }, number(loss)),
      make("span", { class: "soft" }, ` (${network.lossName}, this example`
        + `${network.reg ? `; the L2 term adds ${number(this.penalty, 3)}` : ""})`));
    this._explainLoss();
    if (subject.task === "classify") this.select.value = String(target[0]);
    else if (subject.task === "multilabel") {
      this.boxes.forEach((box, i) => { box.checked = target[i] === 1; });
    } else {
      this.fields.forEach((field, i) => {
        if (document.activeElement === field) return;
        field.value = String(Number((target[i] * subject.target.scale[i] + subject.target.mean[i]).toPrecision(5)));
      });
    }
  }
}
