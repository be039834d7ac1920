/** What stands above the network: testing or training, the batch, the mistake to plant. */

import { MISTAKES, placesOf } from "handgrad-page/mistakes";
import { differing } from "handgrad-page/views/inspector";
import { coordinates } from "handgrad-page/views/layout";
import { shortNames } from "handgrad-page/views/row";
import { count, fill, make, number, shapeText } from "handgrad-page/views/text";

export class ControlsView {
  /**
   * @param {HTMLElement} element
   * @param {import("handgrad-page/views/session").Session} session
   * @param {Object<string, {what: string, cause: string, sentence: string, seen: string}>} mistakes
   *   what `handgrad check` says of each
   */
  constructor(element, session, mistakes) {
    Object.assign(this, { element, session, mistakes });
    this.built = "";
  }

  render() {
    const { session } = this;
    const { view, net } = session.state;
    const key = [view, net, session.training, session.network.layers.length].join();
    if (key !== this.built) this._build(view);
    this.built = key;
    if (view === "break") this._showBroken();
    if (this.batch && document.activeElement !== this.batch) this.batch.value = String(session.state.batch);
  }

  _build(view) {
    const parts = [];
    this.batch = null;
    if (view === "forward") parts.push(this._modes());
    if (view !== "train" && this.session.training) parts.push(...this._company());
    if (view === "break") parts.push(...this._mistakes());
    fill(this.element, ...parts);
  }

  _modes() {
    const button = (mode, name, about) => make("button", {
      type: "button", "aria-pressed": String(this.session.state.mode === mode), title: about,
      onclick: () => {
        this.session.update({ mode });
        this.element.querySelector("[aria-pressed=true]")?.focus();
      },
    }, name);
    return make("div", { role: "group", "aria-label": "The pass", class: "modes" },
      button("test", "Testing", "Batch norm by the kept statistics, dropout by its mean"),
      button("train", "Training", "Batch norm by the batch's statistics, dropout by a mask"));
  }

  _company() {
    const { session } = this;
    this.batch = make("input", {
      type: "number", min: "1", max: "32", value: String(session.state.batch),
      onchange: () => session.update({ batch: Number(this.batch.value) }),
    });
    const { rows, training } = session.subject;
    const others = [training, rows].some((each) => each?.target);
    const random = session.network.layers.some(({ kind }) => kind === "Dropout");
    return [others ? make("label", { class: "field" }, "Examples in the batch", this.batch)
      : make("p", { class: "soft" }, "This page holds no labelled rows: the batch is the example alone."),
      random ? make("button", {
        type: "button", onclick: () => session.update({ seed: session.state.seed + 1 }),
      }, "Draw another mask") : null];
  }

  _mistakes() {
    const { session } = this;
    const { network } = session;
    const names = Object.keys(MISTAKES).filter((name) => placesOf(network, name).length);
    this.select = make("select", {
      onchange: () => this._plant(this.select.value, -1),
    }, make("option", { value: "" }, "none: all is right"),
    ...this._groups(names));
    this.places = make("select", {
      onchange: () => this._plant(session.state.mistake, Number(this.places.value)),
    });
    this.verdict = make("div", {});
    this.verdict.style.flexBasis = "100%";
    return [make("label", { class: "field" }, "Mistake", this.select),
      make("label", { class: "field" }, "In", this.places), this.verdict];
  }

  /** The mistakes as options, by the layer that they are made in. */
  _groups(names) {
    const groups = new Map();
    for (const name of names) {
      const { kind, penalty } = MISTAKES[name];
      const group = kind ?? (penalty ? "L2 term" : "Loss");
      groups.set(group, [...(groups.get(group) ?? []), name]);
    }
    return [...groups].map(([group, members]) => make("optgroup", { label: group },
      ...members.map((name) => make("option", { value: name }, this.mistakes[name]?.what ?? name))));
  }

  /** Make a mistake, and look at the first number of its layer that it changes. */
  _plant(mistake, where) {
    const { session } = this;
    session.update({ mistake, where });
    const found = this._found();
    const there = (position) => found.find(({ layer }) => layer === position);
    const first = there(session.state.where) ?? there(found.at(-1)?.layer);
    if (first) this._go(first);
  }

  _go({ layer, own, first }) {
    this.session.update({ layer, array: own, at: first.join(",") });
  }

  _showBroken() {
    const { session } = this;
    const { mistake, where } = session.state;
    const { layers } = session.network;
    this.select.value = mistake;
    const places = mistake ? placesOf(session.network, mistake) : [];
    this.places.parentElement.hidden = !places.length;
    const names = shortNames(layers);
    fill(this.places, ...places.map((place) => make("option", { value: String(place) },
      place < layers.length ? names[place] : "the loss")));
    this.places.value = String(where);
    fill(this.verdict, ...(mistake ? [this._says(mistake), this._changes(names)]
      : [make("p", { class: "soft" }, "Choose a mistake that students make: the numbers that it changes are outlined, and you see whether you would have noticed.")]));
  }

  _says(name) {
    const said = this.mistakes[name];
    if (!said) return null;
    return make("div", { class: "says" }, make("b", {}, "handgrad check would say"),
      make("p", {}, `${said.sentence[0].toUpperCase()}${said.sentence.slice(1)}.`),
      said.seen ? make("pre", {}, said.seen) : null);
  }

  /** The outputs and gradients that the mistake changes, from the network's input to its loss. */
  _found() {
    const { session } = this;
    if (session.broken() && this.foundIn === session.broken()) return this.found;
    const found = [];
    for (const layer of session.broken() ? session.network.layers : []) {
      for (const { own, id, name, role } of session.arrays(layer.position)) {
        if (role !== "gradient" && own !== "out") continue;
        const [wrong, right] = [session.array(id), session.array(id, { right: true })];
        const change = changeOf(wrong, right);
        if (change) found.push({ layer: layer.position, own, name, ...change });
      }
    }
    Object.assign(this, { found, foundIn: session.broken() });
    return found;
  }

  /** Which arrays the mistake changes, each a button that goes there. */
  _changes(names) {
    const found = this._found();
    const losses = this._losses();
    if (!found.length && losses) return losses;
    if (!found.length) {
      return make("p", {}, "On this batch it changes no number: nobody would notice here. Try other examples, or more of them.");
    }
    return make("div", {}, losses, make("details", { open: true },
      make("summary", {}, `It changes ${found.length} ${found.length === 1 ? "array" : "arrays"}`),
      make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "What the mistake changes" },
        make("table", {}, make("thead", {}, make("tr", {}, ...["array", "layer", "numbers changed", "largest change"]
          .map((title, i) => make("th", { scope: "col", class: i > 1 ? "n" : null }, title)))),
        make("tbody", {}, ...found.map((each) => make("tr", {},
          make("td", {}, make("button", { type: "button", class: "mono", onclick: () => this._go(each) }, each.name)),
          make("td", {}, names[each.layer]), make("td", { class: "n" }, each.numbers),
          make("td", { class: "n mono" }, each.largest))))))));
  }

  /** The loss, where the mistake changes it. */
  _losses() {
    const { session } = this;
    const { network, trace } = session.broken();
    const { y } = session.batch();
    const [wrong, right] = [network.loss(trace, y), session.network.loss(session.trace(), y)];
    if (Math.abs(wrong - right) <= 1e-7 * Math.abs(right)) return null;
    return make("p", {}, "The loss is ", make("b", { class: "mono differ" }, number(wrong)),
      `, and should be ${number(right)}.`);
  }
}

/** How a wrong array differs from the right one, in words, and the first entry that does; or null. */
function changeOf(wrong, right) {
  const first = right.shape.map(() => 0);
  if (wrong.shape.join() !== right.shape.join()) {
    return { first, numbers: `shape ${shapeText(wrong.shape)}, not ${shapeText(right.shape)}`, largest: "" };
  }
  const indices = differing(wrong, right);
  if (!indices.length) return null;
  const largest = indices.reduce((most, i) => Math.max(most, Math.abs(wrong.data[i] - right.data[i])), 0);
  return {
    first: coordinates(right.shape, indices[0]), largest: number(largest, 3),
    numbers: `${count(indices.length)} of ${count(wrong.data.length)}`,
  };
}
