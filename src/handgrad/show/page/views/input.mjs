/** The example: drawn, chosen among rows, or set by sliders. */

import { painter } from "handgrad-page/views/colours";
import { Pad } from "handgrad-page/views/pad";
import { fill, make, number } from "handgrad-page/views/text";

const PAGE = 24; // pictures shown at once
const MOST_SLIDERS = 100;
const DAY = 864e5; // milliseconds

export class InputView {
  /**
   * @param {HTMLElement} element
   * @param {import("handgrad-page/views/session").Session} session
   * @param {import("handgrad-page/views/colours").Palette} palette
   */
  constructor(element, session, palette) {
    Object.assign(this, { element, session, palette });
  }

  /** Make the controls of another network's inputs. */
  build() {
    const { rows, inputs } = this.session.subject;
    this.pictures = inputs.kind === "image";
    this.pad = null;
    this.seen = null;
    this.page = -1;
    this.parts = {};
    if (this.pictures && inputs.drawn) this.parts.raw = ["Draw", this._drawing()];
    if (rows) this.parts.row = [this.pictures ? "Pictures" : "Rows", this._rows(rows)];
    this.modes = Object.entries(this.parts).map(([source, [name]]) => make("button", {
      type: "button", "aria-pressed": "false", "data-source": source,
      onclick: () => this.session.update({ source, label: null }),
    }, name));
    const sliders = this.pictures ? null : this._sliders(inputs.columns);
    fill(this.element,
      make("div", {
        class: "modes", role: "group", "aria-label": "Where the example comes from", hidden: this.modes.length < 2,
      }, ...this.modes),
      ...Object.values(this.parts).map(([, part]) => part), this._example(), sliders);
  }

  /** What the network is given, small. */
  _example() {
    if (!this.pictures) return null;
    this.seen = make("canvas", { "aria-hidden": "true" });
    this.seenText = make("span", {});
    return make("div", { class: "seen" }, this.seen, this.seenText);
  }

  _drawing() {
    this.pad = new Pad(this.palette, (text) => {
      this.session.update({ source: "raw", raw: text, label: null });
    });
    return this.pad.element;
  }

  _rows(rows) {
    const regress = this.session.subject.task === "regress";
    this.wrong = regress ? "far off: " : "mistaken: ";
    const names = Array.from({ length: rows.count }, (_, row) => this._name(rows, row));
    this.select = make("select", {
      "aria-label": "Which one", onchange: () => this._go(Number(this.select.value)),
    }, ...names.map((name, row) => make("option", { value: String(row) }, name)));
    const step = (by, sign, name) => make("button", {
      type: "button", "aria-label": name,
      onclick: () => this._go((this.session.state.row + by + rows.count) % rows.count),
    }, sign);
    const about = [rows.source ? `From ${rows.source}.` : "",
      rows.mistakes ? `The first ${rows.mistakes} are those that the model ${regress ? "is farthest off on" : "gets wrong"}`
        + `${this.pictures ? ", with a dot" : ""}.` : ""];
    this.gallery = make("div", { class: "gallery", role: "group", "aria-label": "Pictures to choose from" });
    return make("div", {}, this.pictures ? this.gallery : null,
      make("div", { class: "which" }, step(-1, "‹", "Previous"), this.select, step(1, "›", "Next")),
      make("p", { class: "soft" }, about.filter(Boolean).join(" ")));
  }

  _name(rows, row) {
    return `${row < rows.mistakes ? this.wrong : ""}${rows.name(row)}`;
  }

  _go(row) {
    this.session.update({ source: "row", row, label: null });
  }

  /** A picture is painted when its page is first turned to. */
  _turn() {
    const { rows } = this.session.subject;
    const page = Math.floor(this.session.state.row / PAGE);
    if (page !== this.page) {
      this.page = page;
      const first = page * PAGE;
      const shown = Array.from({ length: Math.min(PAGE, rows.count - first) }, (_, i) => first + i);
      fill(this.gallery, ...shown.map((row) => {
        const canvas = make("canvas", { "aria-hidden": "true" });
        this._paint(canvas, rows.raw(row));
        return make("button", {
          type: "button", class: row < rows.mistakes ? "wrong" : null, "data-row": String(row),
          "aria-label": this._name(rows, row), "aria-pressed": "false",
          onclick: () => this._go(row),
        }, canvas);
      }));
    }
    for (const button of this.gallery.children) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.row) === this.session.state.row));
    }
  }

  /** Paint levels from 0 to 255: ink on the page's ground, or colours. */
  _paint(canvas, levels) {
    const { channels, height, width } = this.session.subject.inputs;
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const [size, ink] = [height * width, new Int32Array(image.data.buffer)];
    const paint = painter(this.palette, "ink", { low: 0, high: 255 });
    for (let at = 0; at < size; at++) {
      if (channels !== 3) ink[at] = paint(levels[at]);
      else image.data.set([levels[at], levels[size + at], levels[2 * size + at], 255], 4 * at);
    }
    context.putImageData(image, 0, 0);
  }

  _sliders(columns) {
    this.fields = columns.slice(0, MOST_SLIDERS).map((column, i) => this._slider(column, i));
    const left = columns.length - this.fields.length;
    return make("div", {}, make("h3", {}, "Features"),
      make("div", { class: "sliders", role: "group", tabindex: "0", "aria-label": "Features" },
        ...this.fields.map(({ element }) => element)),
      left > 0 ? make("p", { class: "soft" }, `and ${left} more, as the row has them`) : null);
  }

  _slider(column, i) {
    const set = (value) => this._set(i, value);
    if (column.kind === "category") {
      const select = make("select", { onchange: () => set(select.value === "" ? null : select.value) },
        ...column.values.map((value) => make("option", { value }, value)), make("option", { value: "" }, "missing"));
      return {
        element: make("label", { class: "slider" }, column.name, select),
        show: (value) => { select.value = column.values.includes(value) ? value : ""; },
      };
    }
    if (column.kind === "date") {
      const field = make("input", {
        type: "date", onchange: () => set(field.value ? field.valueAsNumber / DAY : null),
      });
      return {
        element: make("label", { class: "slider" }, column.name, field),
        show: (value) => { field.valueAsNumber = value === null ? NaN : value * DAY; },
      };
    }
    const output = make("output", {});
    const range = make("input", {
      type: "range", min: String(column.low), max: String(column.high), step: String((column.high - column.low) / 400),
      oninput: () => set(Number(range.value)),
    });
    return {
      element: make("label", { class: "slider" }, column.name, output, range),
      show: (value) => {
        output.textContent = value === null ? "missing" : number(value);
        if (document.activeElement !== range) range.value = String(value ?? column.start);
      },
    };
  }

  /** One feature changed: the others stay as they are. */
  _set(i, value) {
    const raw = Array.from(this.session.raw());
    raw[i] = value;
    this.session.update({ source: "raw", raw: JSON.stringify(raw) });
  }

  render() {
    const { session, pictures } = this;
    const { source, row } = session.state;
    this.modes.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.source === source)));
    for (const [name, [, part]] of Object.entries(this.parts)) part.hidden = pictures && name !== source;
    if (this.select) this.select.value = String(row);
    if (pictures && source === "row") this._turn();
    if (pictures) {
      this._paint(this.seen, session.raw());
      const { subject } = session;
      this.seenText.textContent = source === "row" ? subject.rows.name(row)
        : "What the network is given: the drawing, scaled and centred as its training pictures were.";
    } else {
      const raw = session.raw();
      this.fields.forEach((field, i) => field.show(raw[i]));
    }
    if (this.pad) this.pad.show(source === "raw" ? session.state.raw ?? "" : "");
  }
}
