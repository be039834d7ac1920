/** How one number came about: the formula, its numbers in place, the terms, and a second opinion. */

import { painter } from "handgrad-page/views/colours";
import { sharp } from "handgrad-page/views/charts";
import { count, fill, make, number } from "handgrad-page/views/text";

const SHOWN = 12; // terms in the table before the reader asks for all
const PATCHES = 4; // channels whose patches are pictured
const AGREE = 1e-4; // relative difference of float32 gradients and central differences

/**
 * @typedef {object} Sources  Where the derivations stand.
 * @property {object} theory  their pages by name, as `handgrad.show.content` describes them
 * @property {string | null} report  the address of the report beside this page, which holds them
 */

/** A line that names a page of derivations, and a formula of it; null where the page is not here. */
export function derivedIn(words, { theory, report }, name, label = null) {
  const page = theory[name];
  if (!page) return null;
  const title = `${page.number} ${page.title}`;
  const formula = page.formulas[label]?.number;
  return make("p", { class: "soft" }, `${words} `,
    report ? make("a", { href: `${report}#theory-${page.slug}` }, title) : make("i", {}, title),
    formula ? `, formula (${formula})` : "", ".");
}

/** Show an explanation in an element. */
export class ExplanationView {
  /**
   * @param {import("handgrad-page/views/colours").Palette} palette
   * @param {Sources} sources
   */
  constructor(palette, sources) {
    Object.assign(this, { palette, sources });
    this.element = make("section", { class: "explained", tabindex: "-1", "aria-label": "How this number came about" });
    this.all = false;
    this.derived = false; // whether the reader wants the derivation's formula open
  }

  /** @param {{explanation: object, difference: object | null, pending: boolean} | null} found */
  show(found, { given = "", broken = false } = {}) {
    this.last = [found, { given, broken }];
    if (!found) {
      fill(this.element, make("p", { class: "wide" }, given));
      return;
    }
    const { explanation: e, difference, pending } = found;
    fill(
      this.element,
      make("div", {},
        make("p", {}, e.says), this._formula(e),
        make("p", { class: "formula filled" }, e.numbers), this._patches(e),
        pending ? make("p", { class: "soft pending" }, "Central differences …") : null,
        difference ? this._difference(e, difference, broken) : null),
      make("div", {}, this._way(e), this._terms(e)),
    );
  }

  /** The sentence for those who do not see the screen. */
  summary({ explanation: e, difference }) {
    const agree = difference ? ` Central differences give ${number(difference.numeric)}.` : "";
    return `${e.name} = ${number(e.value)}. ${e.says}${agree}`;
  }

  _formula(e) {
    const { page, formula: label } = e.theory;
    const formula = this.sources.theory[page]?.formulas[label];
    const mathml = formula?.mathml ? make("div", { class: "formula derived" }) : null;
    if (mathml) mathml.append(parsed(formula.mathml));
    return make("div", {}, make("p", { class: "formula" }, e.formula),
      mathml ? make("details", {
        open: this.derived, ontoggle: (event) => { this.derived = event.target.open; },
      }, make("summary", {}, "The derivation’s formula"), mathml) : null,
      derivedIn("Derived in", this.sources, page, label));
  }

  _difference(e, { numeric, h, crossesKink }, broken) {
    const scale = Math.max(Math.abs(e.value), Math.abs(numeric), 1e-6);
    const agrees = e.value !== null && Math.abs(e.value - numeric) <= AGREE * scale + 1e-7;
    const fault = e.value === null ? "The mistake has given the array another shape."
      : crossesKink ? "A kink lies between the two passes." : "They disagree.";
    const verdict = make("span", { class: agrees ? "agree" : "differ" }, agrees ? "They agree." : fault);
    const rows = [
      ["backward pass", e.value], ["by the formula", e.total], ["central differences", numeric],
    ];
    return make("div", {}, make("table", {},
      make("caption", {}, "The same entry, three ways"),
      make("tbody", {}, ...rows.map(([name, value]) => make("tr", {},
        make("th", { scope: "row" }, name), make("td", { class: "n mono" }, number(value, 7)))))),
    make("p", {}, verdict, " ", make("span", { class: "soft" },
      `(L(+h) − L(−h)) / 2h with h = ${number(h, 2)}, in float64${broken ? ", by the right passes" : ""}.`)));
  }

  _way({ values }) {
    if (!values?.length) return null;
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Numbers on the way" },
      make("table", {}, make("caption", {}, "Numbers on the way"),
        make("tbody", {}, ...values.map(({ symbol, formula, value }) => make("tr", {},
          make("th", { scope: "row", class: "mono" }, symbol), make("td", { class: "mono soft" }, formula),
          make("td", { class: "n mono" }, number(value, 6)))))));
  }

  _terms(e) {
    if (!e.terms?.length) return null;
    const order = e.terms.map((term, i) => [i, Math.abs(term.product)]);
    if (e.operation === "sum" && !this.all && e.terms.length > SHOWN) {
      order.sort((a, b) => b[1] - a[1]);
    }
    const shown = order.slice(0, this.all ? order.length : SHOWN).map(([i]) => e.terms[i]);
    const rest = order.slice(shown.length).reduce((sum, [i]) => sum + e.terms[i].product, 0);
    const left = e.terms.length - shown.length;
    const words = { sum: "Terms of the sum", max: "Candidates", function: "What it is computed of" };
    const width = Math.max(...shown.map(({ factors }) => factors.length));
    const body = shown.map((term) => row(term, width));
    if (left) {
      body.push(make("tr", {}, make("th", { scope: "row", colspan: String(width), class: "soft" },
        `${count(left)} more${e.operation === "sum" ? ", together" : ""}`),
      make("td", { class: "n mono" }, e.operation === "sum" ? number(rest) : "")));
    }
    const table = make("table", { class: "terms" },
      make("caption", {}, `${words[e.operation]}: ${count(e.terms.length)}`
        + `${left && e.operation === "sum" ? ", the largest first" : ""}`),
      make("tbody", {}, ...body), this._foot(e, width));
    const more = e.terms.length > SHOWN ? make("button", { type: "button", onclick: () => this._toggle() },
      this.all ? "Show the largest only" : `Show all ${count(e.terms.length)}`) : null;
    return make("div", {}, make("div", {
      class: "scroll", tabindex: "0", role: "region", "aria-label": words[e.operation],
    }, table), more);
  }

  _foot(e, width) {
    const line = (name, value) => make("tr", {},
      make("th", { scope: "row", colspan: String(width) }, name),
      make("td", { class: "n mono" }, number(value, 6)));
    const sum = e.terms.reduce((total, term) => total + term.product, 0);
    const scales = (e.scale ?? []).map((factor) => line(
      `times ${[factor.array && place(factor), factor.text].filter(Boolean).join(" ")}`, factor.value));
    if (e.operation === "sum" && scales.length) {
      return make("tfoot", {}, line("sum", sum), ...scales, line("total", e.total));
    }
    return make("tfoot", {}, line(e.operation === "sum" ? "total" : "result", e.total));
  }

  _toggle() {
    this.all = !this.all;
    this.show(...this.last);
    this.element.querySelector(".terms + button, .scroll + button")?.focus();
  }

  /** Patch, filter and products as three small pictures, for each channel, or of dx each filter. */
  _patches(e) {
    const roles = (e.boxes ?? []).map(({ role }) => role);
    if (!roles.includes("filter")) return null;
    const forward = roles.includes("patch");
    const grids = gridsOf(e.terms, forward ? 1 : 0);
    const noun = forward ? "channel" : "filter";
    const largest = (part) => Math.max(...grids.flatMap((grid) => grid[part].map(Math.abs)));
    const picture = (grid, part, name) => make("figure", {},
      this._picture(grid[part], grid.width, largest(part)), make("figcaption", {}, name));
    const sign = (text) => make("span", { class: "sign", "aria-hidden": "true" }, text);
    const triple = (grid) => make("div", { class: "patches" },
      picture(grid, "first", `${forward ? "patch" : "dout"}${grids.length > 1 ? `, ${noun} ${grid.key}` : ""}`),
      sign("∘"), picture(grid, "second", forward ? "filter" : "filter, turned by 180°"),
      sign("="), picture(grid, "products", "products"),
      make("span", { class: "mono" }, `sum ${number(grid.products.reduce((a, b) => a + b, 0))}`));
    const left = grids.length - PATCHES;
    return make("div", {}, ...grids.slice(0, PATCHES).map(triple),
      left > 0 ? make("p", { class: "soft" }, `and ${left} more ${noun}s`) : null);
  }

  _picture(values, width, largest) {
    const canvas = make("canvas", { "aria-hidden": "true" });
    const rows = Math.ceil(values.length / width);
    const cell = Math.max(6, Math.min(34, Math.floor(120 / Math.max(width, rows))));
    const context = sharp(canvas, width * cell, rows * cell);
    const paint = painter(this.palette, "signed", { low: -largest, high: largest });
    values.forEach((value, k) => {
      const colour = paint(value);
      context.fillStyle = `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;
      context.fillRect((k % width) * cell, Math.floor(k / width) * cell, cell - 0.5, cell - 0.5);
    });
    return canvas;
  }
}

function row({ factors, product, note }, width) {
  const cells = factors.map((factor, i) => make("td", {
    class: "factor", colspan: i === factors.length - 1 ? String(width - i) : null,
  }, i ? "× " : "", make("span", { class: "mono" }, number(factor.value)), " ",
  make("span", { class: "at" }, factor.array ? place(factor) : factor.text ?? "")));
  return make("tr", {}, ...cells, make("td", { class: "n mono" }, number(product),
    note ? make("span", { class: "soft" }, ` ${note}`) : null));
}

/** A factor as the formula has it: x[0, 3]. */
function place({ array, index }) {
  return index?.length ? `${array}[${index.join(", ")}]` : array;
}

/**
 * A convolution's terms in grids, by one axis of the filter's index [filter, channel, row, column].
 *
 * The terms stand in reading order of the patch; the bias is in none.
 */
function gridsOf(terms, axis) {
  const grids = new Map();
  for (const { factors: [other, filter], product } of terms) {
    if (filter?.index?.length !== 4) continue;
    const key = filter.index[axis];
    if (!grids.has(key)) grids.set(key, { key, first: [], second: [], products: [], columns: new Set() });
    const grid = grids.get(key);
    grid.first.push(other.value);
    grid.second.push(filter.value);
    grid.products.push(product);
    grid.columns.add(filter.index[3]);
  }
  return [...grids.values()].map((grid) => ({ ...grid, width: grid.columns.size }));
}

/** MathML from the page's own content. */
function parsed(mathml) {
  return document.importNode(new DOMParser().parseFromString(mathml, "text/html").body.firstChild, true);
}
