/** What a network says all over the plane of two features, the others as the example has them. */

import { softmax } from "handgrad-page/losses";
import { sigmoid } from "handgrad-page/layers_activations";
import { classColours, drawPlane } from "handgrad-page/views/charts";
import { fill, make, number } from "handgrad-page/views/text";

const CELLS = 44;

export class PlaneView {
  /** Whether a subject has two numbers among its features, and classes to colour by. */
  static fits({ inputs, task }) {
    return inputs.kind !== "image" && task === "classify" && numeric(inputs.columns).length >= 2;
  }

  /**
   * @param {import("handgrad-page/views/session").Subject} subject
   * @param {import("handgrad-page/views/colours").Palette} palette
   * @param {() => void} onChange  two other features were chosen
   */
  constructor(subject, palette, onChange) {
    Object.assign(this, { subject, palette });
    const columns = numeric(subject.inputs.columns);
    const choice = (label, first) => {
      const select = make("select", { onchange: onChange },
        ...columns.map(([name, i]) => make("option", { value: String(i) }, name)));
      select.value = String(columns[first][1]);
      return [select, make("label", { class: "field" }, label, select)];
    };
    const [x, xField] = choice("Across", 0);
    const [y, yField] = choice("Up", 1);
    Object.assign(this, { x, y });
    this.canvas = make("canvas", { role: "img" });
    this.text = make("figcaption", {});
    this.key = make("ul", { class: "key" });
    this.element = make("figure", {}, make("h3", {}, "What it says, by two features"),
      make("div", { class: "line" }, xField, yField), this.canvas, this.key, this.text);
  }

  /** @param {ArrayLike<number>} raw  the example: where the other features stand */
  paint(network, raw) {
    const { columns } = this.subject.inputs;
    const [x, y] = [Number(this.x.value), Number(this.y.value)];
    const ends = ({ low, high }) => [low - 0.05 * (high - low), high + 0.05 * (high - low)];
    const [across, up] = [ends(columns[x]), ends(columns[y])];
    const X = new Float32Array(CELLS * CELLS * this.subject.encode(raw).length);
    const row = Array.from(raw);
    for (let at = 0; at < CELLS * CELLS; at++) {
      row[x] = across[0] + (((at % CELLS) + 0.5) / CELLS) * (across[1] - across[0]);
      row[y] = up[1] - ((Math.floor(at / CELLS) + 0.5) / CELLS) * (up[1] - up[0]);
      const input = this.subject.encode(row);
      X.set(input, at * input.length);
    }
    const classes = this.subject.outputs.length;
    const shares = sharesOf(network, network.forward(X).scores, classes);
    const { points } = this;
    drawPlane(this.canvas, this.palette, { x: across, y: up, cells: CELLS, classes, shares, points: points(x, y) });
    const names = [columns[x].name, columns[y].name];
    this.canvas.setAttribute("aria-label", `The network's classes over ${names.join(" and ")}`);
    this.text.textContent = `${names[0]} from ${number(across[0], 3)} to ${number(across[1], 3)}, `
      + `${names[1]} from ${number(up[0], 3)} to ${number(up[1], 3)}; `
      + `${columns.length > 2 ? "the other features as the example has them; " : ""}training rows as points.`;
    const colours = classColours(this.palette);
    fill(this.key, ...this.subject.outputs.map((name, i) => {
      const mark = make("span", { "aria-hidden": "true" }, ["●", "■", "▲", "⬟", "⬢"][i % 5]);
      mark.style.color = colours[i % colours.length];
      return make("li", {}, mark, ` ${name}`);
    }));
  }

  points = (x, y) => {
    const rows = this.subject.training ?? this.subject.rows;
    if (!rows?.target) return [];
    return Array.from({ length: rows.count }, (_, row) => {
      const raw = rows.raw(row);
      return { x: raw[x], y: raw[y], label: rows.target(row)[0] };
    }).filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
  };
}

function numeric(columns) {
  return columns.flatMap(({ kind, name }, i) => (kind === "number" ? [[name, i]] : []));
}

/** (cells * cells * classes) shares: probabilities, or all to the winner where the loss has none. */
function sharesOf(network, scores, classes) {
  const [count, outputs] = scores.shape;
  const shares = new Float32Array(count * classes);
  for (let n = 0; n < count; n++) {
    const own = scores.data.subarray(n * outputs, (n + 1) * outputs);
    if (outputs === 1) {
      const one = network.lossName === "logistic" ? sigmoid(own[0]) : Number(own[0] > 0);
      shares.set([1 - one, one], n * classes);
    } else if (own.every(Number.isFinite)) shares.set(softmax(own), n * classes);
  }
  return shares;
}
