/** The page's entry: reads what it shows, and lets the views follow the session. */

import { load } from "handgrad-page/content";
import { format, parse, readList } from "handgrad-page/state";
import { AnswerView } from "handgrad-page/views/answer";
import { Palette } from "handgrad-page/views/colours";
import { ControlsView } from "handgrad-page/views/controls";
import { InputView } from "handgrad-page/views/input";
import { InspectorView } from "handgrad-page/views/inspector";
import { QuestionsView } from "handgrad-page/views/questions";
import { RowView } from "handgrad-page/views/row";
import { DEFAULTS, Session, VIEWS } from "handgrad-page/views/session";
import { smallSubject } from "handgrad-page/views/small";
import { modelSubject, writerOf } from "handgrad-page/views/subject";
import { fill, make, number, plural, shapeText } from "handgrad-page/views/text";
import { TrainView } from "handgrad-page/views/train";

const PAUSE = 90; // milliseconds without a change before the slower views follow

const at = (id) => document.getElementById(id);

/** The state that an address holds. */
function read(hash) {
  const given = parse(hash);
  const state = {};
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    if (!(name in given)) state[name] = usual;
    else if (typeof usual === "number") state[name] = Number(given[name]);
    else if (typeof usual === "boolean") state[name] = given[name] !== "false";
    else if (name === "label") state[name] = readList(given[name]);
    else state[name] = given[name];
  }
  return state;
}

/** The address of a state; what is as usual is left out. */
function address(state) {
  const told = Object.entries({ ...DEFAULTS, ...state }).filter(([name, value]) => (
    value !== DEFAULTS[name] && !(name === "where" && value < 0)));
  const texts = told.map(([name, value]) => [name, Array.isArray(value) ? value.join(",") : value]);
  return format(Object.fromEntries(texts));
}

class Page {
  constructor(content, arrays) {
    this.content = content;
    this.palette = new Palette();
    this.session = new Session(
      {
        model: () => modelSubject(content, arrays),
        small: () => smallSubject("small"), deep: () => smallSubject("deep"),
      }, read(location.hash));
    const { session, palette } = this;
    const announce = (text) => { at("status").textContent = text; };
    this.input = new InputView(at("input"), session, palette);
    this.answer = new AnswerView(at("answer"), session);
    const theory = Object.fromEntries((content.theory ?? []).map((page) => [page.name, page]));
    const sources = { theory, report: content.report ?? null };
    this.questions = new QuestionsView(at("questions"), at("guide"), session, address, sources);
    this.controls = new ControlsView(at("bar"), session, content.mistakes ?? {});
    this.row = new RowView(at("row"), session, palette);
    this.inspector = new InspectorView(at("inspector"), session, palette, sources, announce);
    this.train = new TrainView(at("training"), session, palette, { announce, write: writerOf(content, arrays) });
    this._tabs();
    this._pause = 0;
    session.onChange((changed) => this.follow(changed));
    this._listen();
  }

  _tabs() {
    this.tabs = Object.entries(VIEWS).map(([view, name]) => make("button", {
      type: "button", role: "tab", id: `tab-${view}`, "aria-controls": "panel",
      onclick: () => this.session.update({ view, question: "" }),
    }, name));
    at("views").append(...this.tabs);
    at("views").addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const names = Object.keys(VIEWS);
      const next = (names.indexOf(this.session.state.view) + by + names.length) % names.length;
      this.session.update({ view: names[next], question: "" });
      this.tabs[next].focus();
    });
  }

  _listen() {
    window.addEventListener("hashchange", () => {
      // What this page has written itself is no news.
      if (location.hash === this._written) return;
      clearTimeout(this._rest);
      this.session.update(read(location.hash));
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.palette.read();
      this.begin();
    });
    at("skip").addEventListener("click", () => at("panel").focus());
  }

  /** Build all views for the network that is looked at. */
  begin() {
    for (const view of [this.input, this.answer, this.row, this.train]) view.build();
    this.inspector.shape = "";
    this.controls.built = "";
    this.headline();
    this.follow(new Set(["example", "pass", "place"]));
  }

  headline() {
    const { session, content } = this;
    const { network } = session;
    const parameters = Object.values(network.params).reduce((sum, { data }) => sum + data.length, 0);
    at("title").textContent = session.subject.title;
    fill(at("lead"), `${plural(network.layers.length, "layer")}, ${plural(parameters, "parameter")}, `
      + `${shapeText(network.inputShape)} → ${shapeText(network.outputShape)}, ${network.lossName} loss. `
      + "Every number on this page can be asked where it came from.");
    if (session.trained) {
      at("lead").append(make("span", { class: "notice", role: "note" },
        " You look at the network that you trained here. ",
        make("button", { type: "button", onclick: () => session.look(null) }, "Back to the model")));
    }
    fill(at("footer"), `Made by handgrad ${content.handgrad}${content.model ? ` of ${content.model}` : ""}. `
      + "This page stands alone: it asks nothing of the network. Its address holds what you see, to be passed on.",
    content.rounding?.bits ? ` The weights are rounded by ${content.rounding.bits} bits to keep the page `
      + `small; scores change by at most ${number(content.rounding.scores, 2)}.` : "");
  }

  /** The answer follows at once; the slower views when there is a pause. */
  follow(changed) {
    if (changed.has("network")) {
      this.begin();
      return;
    }
    const { state } = this.session;
    if (changed.has("example")) {
      this.input.render();
      this.answer.render();
    }
    this.tabs.forEach((tab, i) => {
      const chosen = Object.keys(VIEWS)[i] === state.view;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) at("panel").setAttribute("aria-labelledby", tab.id);
    });
    at("walk").hidden = state.view === "train";
    at("training").hidden = state.view !== "train";
    this.questions.render();
    clearTimeout(this._pause);
    clearTimeout(this._rest);
    this._pending = new Set([...(this._pending ?? []), ...changed]);
    const drawing = changed.size === 1 && changed.has("example");
    if (drawing) this._pause = setTimeout(() => this._slow(), PAUSE);
    else this._slow();
  }

  _slow() {
    const pending = this._pending;
    this._pending = new Set();
    this.controls.render();
    if (this.session.state.view === "train") this.train.render();
    else {
      if (pending.has("example") || pending.has("pass")) this.row.draw();
      this.row.select();
      this.inspector.render();
    }
    if (pending.has("example")) at("status").textContent = this.answer.text;
    clearTimeout(this._rest);
    this._rest = setTimeout(() => this._write(), PAUSE);
  }

  /** Browsers refuse an address that changes with each key of a held arrow. */
  _write() {
    this._written = address(this.session.state);
    if (location.hash !== this._written) history.replaceState(null, "", this._written);
  }
}

try {
  const { content, arrays } = await load(document);
  const page = new Page(content, arrays);
  at("page").hidden = false;
  page.begin();
} catch (error) {
  at("lead").textContent = "";
  at("failure").hidden = false;
  at("failure").textContent = `This page could not be shown: ${error.message}. `
    + "It needs a browser of 2024 or newer, and its file as handgrad wrote it.";
  throw error;
}
