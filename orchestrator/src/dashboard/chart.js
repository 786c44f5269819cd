// Line charts in SVG. Made once, then given new points; drawn at most once a frame.
//
// A chart can be read without a mouse: it takes the focus, the arrow keys move along it, and what
// lies under the cursor is said in words.

import { linear, logarithmic, nearest } from "./axis.js";
import { choice, h, setAttribute, setAttributes, setText, svg } from "./dom.js";

const HEIGHT = 220;
const MARGIN = { top: 10, right: 14, bottom: 24, left: 58 };
const TICK_CHARACTER = 6.5;
// A point without neighbours would be no line at all: a load every 2 s has nothing but such.
const RING = "m-2 0a2 2 0 1 0 4 0a2 2 0 1 0 -4 0";
// A point that is one by itself: how a step was judged.
const MARK = "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0";
const KEYS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -1e9, End: 1e9 };

// title; axis (see axis.js); format(value); log, if the scale can be chosen; lines:
// [{ key, label, style, points }], where style names classes and points makes marks of a line; band: two keys between which the area is
// filled; join: whether lines cross missing values; linked: charts that share a cursor.
export class Chart {
  constructor(options) {
    this.options = options;
    this.log = Boolean(options.log);
    this.hidden = new Set();
    this.xs = [];
    this.columns = {};
    this.interval = [];
    this.changes = [];
    this.cursor = null;
    this.width = 600;
    this.#build();
    options.linked?.add(this);
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(this.plot);
  }

  // xs rise; columns[key][i] belongs to xs[i], null where there is none; between the two xs of span
  // lies what is searched; at the x of each of changes, [x, words], the load became another.
  update(xs, columns, span = [], changes = []) {
    this.xs = xs;
    this.columns = columns;
    this.interval = span;
    this.changes = changes;
    this.#schedule();
  }

  stop() {
    this.observer.disconnect();
    this.options.linked?.delete(this);
    cancelAnimationFrame(this.frame);
  }

  #build() {
    const { title, lines } = this.options;
    this.grid = svg("g", { class: "grid" });
    this.band = svg("path", { class: "band" });
    this.span = svg("rect", { class: "span" });
    this.paths = new Map(
      lines.map(({ key, style }) => [key, svg("path", { class: `line ${style}` })]),
    );
    this.rule = svg("line", { class: "cursor" });
    this.dots = svg("g");
    this.svg = svg(
      "svg",
      { class: "chart", role: "img", "aria-label": title, tabindex: 0, height: HEIGHT },
      [this.grid, this.span, this.band, ...this.paths.values(), this.rule, this.dots],
    );
    this.tip = h("div", { class: "tip", hidden: true });
    this.spoken = h("p", { class: "spoken", "aria-live": "polite" });
    this.plot = h("div", { class: "plot" }, this.svg, this.tip);
    this.#listen();
    const head = h(
      "div",
      { class: "chart-head" },
      h("h2", {}, title),
      this.#legend(),
      this.#scale(),
    );
    this.element = h(
      "section",
      { class: "card", "aria-label": title },
      head,
      this.plot,
      this.spoken,
    );
  }

  #legend() {
    const button = ({ key, label, style }) => {
      const toggle = (event) => {
        if (!this.hidden.delete(key)) this.hidden.add(key);
        setAttribute(event.currentTarget, "aria-pressed", String(!this.hidden.has(key)));
        this.#schedule();
      };
      const swatch = h("i", { class: `swatch ${style}` });
      const attributes = { type: "button", "aria-pressed": "true", on: { click: toggle } };
      return h("button", attributes, swatch, label);
    };
    return h(
      "span",
      { class: "legend", role: "group", "aria-label": "Lines" },
      this.options.lines.map(button),
    );
  }

  #scale() {
    if (this.options.log === undefined) return null;
    const change = (value) => {
      this.log = value === "log";
      this.#schedule();
    };
    return choice(
      "Scale",
      [
        ["log", "log"],
        ["linear", "linear"],
      ],
      this.log ? "log" : "linear",
      change,
    );
  }

  #listen() {
    this.svg.addEventListener("pointermove", (event) => this.#point(event));
    this.svg.addEventListener("pointerdown", (event) => this.#point(event));
    this.svg.addEventListener("pointerleave", () => this.#moveAll(null));
    this.svg.addEventListener("blur", () => this.#moveAll(null));
    this.svg.addEventListener("keydown", (event) => this.#key(event));
  }

  #point(event) {
    if (this.xs.length === 0) return;
    const left = this.svg.getBoundingClientRect().left;
    const at = (event.clientX - left - MARGIN.left) / this.#innerWidth();
    this.#moveAll(this.xs[nearest(this.xs, this.x.place, at)]);
  }

  #key(event) {
    const step = KEYS[event.key];
    if (step === undefined || this.xs.length === 0) return;
    event.preventDefault();
    const last = this.xs.length - 1;
    const from = this.cursor === null ? last + (step < 0 ? 1 : 0) : this.#index();
    const to = Math.min(last, Math.max(0, from + step));
    this.#moveAll(this.xs[to]);
    setText(this.spoken, this.#words(to));
  }

  #moveAll(x) {
    const charts = this.options.linked ?? [this];
    for (const chart of charts) chart.#move(x, chart === this);
  }

  #move(x, own) {
    this.cursor = x;
    this.own = own;
    this.#schedule();
  }

  #index() {
    return nearest(this.xs, this.x.place, this.x.place(this.cursor));
  }

  #words(at) {
    const { axis, format, lines } = this.options;
    const values = lines.map(({ key, label }) => `${label} ${format(this.columns[key][at])}`);
    return `${axis.value(this.xs[at])}: ${values.join(", ")}`;
  }

  #resize() {
    const width = this.plot.clientWidth;
    if (width === 0 || width === this.width) return;
    this.width = width;
    this.#schedule();
  }

  #schedule() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  #innerWidth() {
    return Math.max(50, this.width - MARGIN.left - MARGIN.right);
  }

  #shown() {
    return this.options.lines.filter(({ key }) => !this.hidden.has(key) && this.columns[key]);
  }

  draw() {
    const values = this.#shown().flatMap(({ key }) => present(this.columns[key]));
    this.x = this.options.axis.scale(this.xs, this.#innerWidth() / 70);
    this.y = (this.log ? logarithmic : linear)(extremes(values), 4);
    setAttributes(this.svg, { width: this.width, viewBox: `0 0 ${this.width} ${HEIGHT}` });
    setAttribute(this.svg, "aria-label", this.#summary());
    this.#drawGrid();
    for (const { key, points } of this.options.lines) {
      const visible = this.columns[key] && !this.hidden.has(key);
      const line = () => (points ? this.#marks(this.columns[key]) : this.#line(this.columns[key]));
      setAttribute(this.paths.get(key), "d", visible ? line() : null);
    }
    this.#drawSpan();
    this.#drawBand();
    this.#drawCursor();
  }

  #summary() {
    const last = this.xs.length - 1;
    const state = last < 0 ? "no samples yet" : this.#words(last);
    return `${this.options.title}. ${state}. Arrow keys move along the chart.`;
  }

  #left(x) {
    return round(MARGIN.left + this.x.place(x) * this.#innerWidth());
  }

  #top(value) {
    const inner = HEIGHT - MARGIN.top - MARGIN.bottom;
    return round(MARGIN.top + (1 - this.y.place(value)) * inner);
  }

  #drawGrid() {
    const bottom = HEIGHT - MARGIN.bottom;
    const right = this.width - MARGIN.right;
    const rows = this.y.ticks.flatMap((tick) => {
      const y = this.#top(tick);
      const label = this.options.format(tick);
      return [
        svg("line", { x1: MARGIN.left, x2: right, y1: y, y2: y }),
        svg("text", { x: MARGIN.left - 8, y: y + 4, class: "end" }, label),
      ];
    });
    const columns = this.#columnTicks(right).map(({ x, text, anchor }) =>
      svg("text", { x, y: bottom + 17, class: anchor }, text),
    );
    const [first, last] = [this.xs[0], this.xs.at(-1)];
    const changes = this.changes.filter(([x]) => x >= first && x <= last).map(([at, words]) => {
      const x = this.#left(at);
      const title = svg("title", {}, words);
      return svg("line", { class: "change", x1: x, x2: x, y1: MARGIN.top, y2: bottom }, title);
    });
    this.grid.replaceChildren(...rows, ...columns, ...changes);
  }

  // Only those whose labels do not touch each other.
  #columnTicks(right) {
    let free = -Infinity;
    const placed = this.x.ticks.map((tick, at) => {
      const text = this.options.axis.tick(tick);
      const x = this.#left(tick);
      const anchor = at > 0 && x > right - 20 ? "end" : "middle";
      const width = text.length * TICK_CHARACTER;
      const start = x - (anchor === "end" ? width : width / 2);
      if (start < free) return null;
      free = start + width + TICK_CHARACTER;
      return { x, text, anchor };
    });
    return placed.filter((tick) => tick !== null);
  }

  // Gaps stay gaps: a missing value is not drawn over, unless the chart joins its points.
  #line(column) {
    let path = "";
    let pen = "M";
    for (let at = 0; at < this.xs.length; at += 1) {
      const value = column[at];
      if (value === null || value === undefined) {
        if (this.options.join) continue;
        if (pen === "L" && lone(column, at - 1)) path += RING;
        pen = "M";
        continue;
      }
      path += `${pen}${this.#left(this.xs[at])} ${this.#top(value)}`;
      pen = "L";
    }
    if (pen === "L" && lone(column, this.xs.length - 1)) path += RING;
    return path;
  }

  #marks(column) {
    const mark = (x, at) => [`M${this.#left(x)} ${this.#top(column[at])}${MARK}`, column[at]];
    const known = this.xs.map(mark).filter(([, value]) => present([value]).length > 0);
    return known.map(([path]) => path).join("");
  }

  #drawSpan() {
    const [from, to] = this.interval;
    const known = present([from, to]).length === 2 && this.xs.length > 1;
    setAttribute(this.span, "visibility", known ? "visible" : "hidden");
    if (!known) return;
    const x = this.#left(from);
    const width = Math.max(1, round(this.#left(to) - x));
    const height = HEIGHT - MARGIN.top - MARGIN.bottom;
    setAttributes(this.span, { x, width, y: MARGIN.top, height });
  }

  #drawBand() {
    const [upper, lower] = this.options.band ?? [];
    const visible =
      upper && !this.hidden.has(upper) && !this.hidden.has(lower) && this.xs.length > 1;
    const whole =
      visible &&
      present(this.columns[upper]).length === this.xs.length &&
      present(this.columns[lower]).length === this.xs.length;
    if (!whole) return setAttribute(this.band, "d", null);
    const at = (key) =>
      this.xs.map((x, i) => `${this.#left(x)} ${this.#top(this.columns[key][i])}`);
    const path = `M${at(upper).join("L")}L${at(lower).reverse().join("L")}Z`;
    return setAttribute(this.band, "d", path);
  }

  #drawCursor() {
    const visible = this.cursor !== null && this.xs.length > 0;
    setAttribute(this.rule, "visibility", visible ? "visible" : "hidden");
    this.tip.hidden = !(visible && this.own);
    this.dots.replaceChildren();
    if (!visible) return;
    const at = this.#index();
    const x = this.#left(this.xs[at]);
    setAttributes(this.rule, { x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom });
    const known = this.#shown().filter(({ key }) => present([this.columns[key][at]]).length > 0);
    this.dots.replaceChildren(
      ...known.map(({ key, style }) =>
        svg("circle", {
          class: `dot ${style}`,
          cx: x,
          cy: this.#top(this.columns[key][at]),
          r: 3.2,
        }),
      ),
    );
    if (this.own) this.#drawTip(at, x);
  }

  #drawTip(at, x) {
    const { axis, format } = this.options;
    const row = ({ key, label, style }) =>
      h(
        "div",
        {},
        h("i", { class: `swatch ${style}` }),
        h("span", {}, label),
        h("b", {}, format(this.columns[key][at])),
      );
    this.tip.replaceChildren(h("p", {}, axis.value(this.xs[at])), ...this.#shown().map(row));
    const width = this.tip.offsetWidth;
    const left = x + 14 + width > this.width ? x - 14 - width : x + 14;
    this.tip.style.left = `${Math.max(0, left)}px`;
  }
}

const round = (value) => Math.round(value * 10) / 10;

function present(column) {
  return column.filter((value) => value !== null && value !== undefined);
}

// Spreading 100 000 numbers into Math.max would overflow the stack.
function extremes(values) {
  const positive = values.filter((value) => value > 0);
  const low = positive.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), 0);
  return Number.isFinite(low) ? [low, high] : [high];
}

function lone(column, at) {
  const previous = column[at - 1];
  return previous === null || previous === undefined;
}
