/** A pad to draw on: by mouse, touch or pen, or by keys. */

import { Sketch } from "handgrad-page/drawing";
import { sharp } from "handgrad-page/views/charts";
import { make } from "handgrad-page/views/text";

const SIZE = 280; // CSS pixels that it is painted for
const KEY_STEP = 0.03; // of the pad's width
const PEN = 0.08;
const MOVES = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

export class Pad {
  /**
   * @param {import("handgrad-page/views/colours").Palette} palette
   * @param {(text: string) => void} onDraw  told the drawing, as `Sketch.text` writes it
   */
  constructor(palette, onDraw) {
    Object.assign(this, { palette, onDraw, sketch: new Sketch(), text: "" });
    this.pen = { x: 0.5, y: 0.5, down: false, shown: false };
    this.canvas = make("canvas", {
      class: "pad", tabindex: "0", role: "application", "aria-roledescription": "drawing pad",
      "aria-label": "Draw here. Arrow keys move the pen, Space puts it down or lifts it, Delete clears.",
    });
    const button = (name, action) => make("button", { type: "button", onclick: () => this._change(action) }, name);
    this.state = make("span", { class: "soft", role: "status" });
    this.element = make("div", {}, this.canvas, make("div", { class: "line" },
      button("Clear", (sketch) => sketch.clear()), button("Undo", (sketch) => sketch.undo()), this.state));
    this.canvas.addEventListener("pointerdown", (event) => this._down(event));
    this.canvas.addEventListener("pointermove", (event) => this._move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(end, () => { this.active = false; });
    }
    this.canvas.addEventListener("keydown", (event) => this._key(event));
    this.canvas.addEventListener("blur", () => this._leave());
  }

  /** Show a drawing, unless it is the one that stands there. */
  show(text) {
    if (text !== this.text) {
      this.text = text;
      this.sketch = Sketch.read(text);
    }
    this.paint();
  }

  _change(action) {
    action(this.sketch);
    this.text = this.sketch.text();
    this.paint();
    this.onDraw(this.text);
  }

  _point(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  _down(event) {
    if (event.button > 0) return;
    this.active = true;
    this.canvas.setPointerCapture(event.pointerId);
    this._change((sketch) => sketch.begin(...this._point(event)));
  }

  _move(event) {
    if (!this.active) return;
    // A browser joins the moves of a frame into one event; the points between are drawn, too.
    const events = event.getCoalescedEvents?.() ?? [];
    this._change((sketch) => {
      for (const each of events.length ? events : [event]) sketch.to(...this._point(each));
    });
  }

  _key(event) {
    const { pen } = this;
    if (MOVES[event.key]) {
      const [right, down] = MOVES[event.key];
      pen.x = Math.max(0, Math.min(1, pen.x + KEY_STEP * right));
      pen.y = Math.max(0, Math.min(1, pen.y + KEY_STEP * down));
      if (pen.down) this._change((sketch) => sketch.to(pen.x, pen.y));
    } else if (event.key === " " || event.key === "Enter") {
      pen.down = !pen.down;
      if (pen.down) this._change((sketch) => sketch.begin(pen.x, pen.y));
    } else if (event.key === "Delete" || event.key === "Backspace") {
      pen.down = false;
      this._change((sketch) => sketch.clear());
    } else return;
    event.preventDefault();
    pen.shown = true;
    this.state.textContent = pen.down ? "The pen is down." : "The pen is up.";
    this.paint();
  }

  _leave() {
    Object.assign(this.pen, { shown: false, down: false });
    this.state.textContent = "";
    this.paint();
  }

  paint() {
    const { css } = this.palette;
    const context = sharp(this.canvas, SIZE, SIZE);
    this.canvas.style.width = "";
    Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: PEN * SIZE, strokeStyle: css.ink });
    for (const stroke of this.sketch.strokes) {
      context.beginPath();
      context.moveTo(stroke[0][0] * SIZE, stroke[0][1] * SIZE);
      for (const [x, y] of stroke) context.lineTo(x * SIZE + 0.01, y * SIZE);
      context.stroke();
    }
    if (this.sketch.empty) {
      Object.assign(context, { fillStyle: css.soft, font: "15px system-ui, sans-serif", textAlign: "center" });
      context.fillText("draw here", SIZE / 2, SIZE / 2);
    }
    if (this.pen.shown) {
      Object.assign(context, { strokeStyle: css.mark, lineWidth: 2 });
      context.strokeRect(this.pen.x * SIZE - 6, this.pen.y * SIZE - 6, 12, 12);
    }
  }
}
