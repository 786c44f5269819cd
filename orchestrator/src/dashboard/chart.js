// Line charts in SVG. Made once, then given new points; drawn at most once a frame.
//
// A chart can be read without a mouse: it takes the focus, the arrow keys move along it, and what
// lies under the cursor is said in words. One over time shows a part of it larger: what a mouse drags
// over, or what + and - choose around the cursor.

import { linear, logarithmic, nearest } from "./axis.js";
import { choice, h, setAttribute, setAttributes, setText, svg } from "./dom.js";

const HEIGHT = 220;
const MARGIN = { top: 10, right: 14, bottom: 24, left: 58 };
const TICK_CHARACTER = 6.5;
// A point without neighbours would be no line at all: a load every 2 s has nothing but such.
const RING = "m-2 0a2 2 0 1 0 4 0a2 2 0 1 0 -4 0";
// A point that is one by itself: how a step was judged.
const MARK = "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0";
// A drag is no click from so many pixels on.
const DRAG_MIN = 6;
// How much longer or shorter a key makes what is shown.
const ZOOMS = { "+": 0.5, "=": 0.5, "-": 2, 0: Infinity };
const KEYS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -1e9, End: 1e9 };

// title; axis (see axis.js); format(value); log, if the scale can be chosen; lines:
// [{ key, label, style, points }], where style names classes and points makes marks of a line; band: two keys between which the area is
// filled; join: whether lines cross missing values; linked: charts that share a cursor.
// A chart of something else than lines has a layer, which draws below the cursor what belongs to the
// xs, and tells it: { element, scale(), draw(part, places), head(at, axis), rows(at) }; and a legend
// of its own. choice and note are put beside the legend and below the plot.
export class Chart {
  constructor(options) {
    this.options = options;
    this.log = Boolean(options.log);
    this.hidden = new Set();
    this.xs = [];
    this.columns = {};
    this.interval = [];
    this.marked = [];
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

  // Instants that deserve a line: [{ x, label }].
  mark(marks) {
    this.marked = marks;
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
    this.lines = svg("g");
    this.legend = h("span", { class: "legend", role: "group", "aria-label": "Lines" });
    this.#fill(lines);
    this.dragged = svg("rect", { class: "span", visibility: "hidden" });
    this.marks = svg("g", { class: "marks" });
    this.rule = svg("line", { class: "cursor" });
    this.dots = svg("g");
    this.svg = svg(
      "svg",
      { class: "chart", role: "img", "aria-label": title, tabindex: 0, height: HEIGHT },
      [
        this.grid,
        this.span,
        this.options.layer?.element,
        this.band,
        this.lines,
        this.marks,
        this.dragged,
        this.rule,
        this.dots,
      ],
    );
    this.tip = h("div", { class: "tip", hidden: true });
    this.spoken = h("p", { class: "spoken", "aria-live": "polite" });
    this.plot = h("div", { class: "plot" }, this.svg, this.tip);
    this.#listen();
    const head = h(
      "div",
      { class: "chart-head" },
      h("h2", {}, title),
      this.options.legend ?? this.legend,
      this.options.choice,
      this.#scale(),
      this.#times(),
    );
    this.element = h(
      "section",
      { class: "card", "aria-label": title },
      head,
      this.plot,
      this.spoken,
      this.options.note,
    );
  }

  // Other lines than before, all of them shown, which the next update has the points of.
  relabel(lines) {
    this.options.lines = lines;
    this.hidden.clear();
    this.update([], {});
    this.#fill(lines);
  }

  #fill(lines) {
    const path = ({ key, style }) => [key, svg("path", { class: `line ${style}` })];
    this.paths = new Map(lines.map(path));
    this.lines.replaceChildren(...this.paths.values());
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
    this.legend.replaceChildren(...lines.map(button));
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

  // Of which time the axis tells, and a way back from a part of it.
  #times() {
    const { axis } = this.options;
    if (!axis.zoom) return null;
    const tell = (value) => {
      axis.isOfDay = value === "day";
      this.#scheduleAll();
    };
    const options = [
      ["run", "run"],
      ["day", "clock"],
    ];
    this.times = choice("Time", options, "run", tell);
    const whole = { type: "button", hidden: true, "data-live": true, on: { click: () => this.#zoom() } };
    this.whole = h("button", whole, "Whole run");
    return h("span", { class: "times" }, this.times, this.whole);
  }

  #listen() {
    this.svg.addEventListener("pointermove", (event) => this.#point(event));
    this.svg.addEventListener("pointerdown", (event) => this.#press(event));
    this.svg.addEventListener("pointerup", (event) => this.#release(event));
    this.svg.addEventListener("pointercancel", () => this.#drag(null));
    this.svg.addEventListener("dblclick", () => this.#zoom());
    this.svg.addEventListener("pointerleave", () => this.#moveAll(null));
    this.svg.addEventListener("blur", () => this.#moveAll(null));
    this.svg.addEventListener("keydown", (event) => this.#key(event));
  }

  // Where the pointer is, 0..1 from the left axis to the right end.
  #placeOf(event) {
    const left = this.svg.getBoundingClientRect().left;
    const at = (event.clientX - left - MARGIN.left) / this.#innerWidth();
    return Math.min(1, Math.max(0, at));
  }

  #point(event) {
    if (this.xs.length === 0) return;
    if (this.pressed !== undefined) this.#drag(this.#placeOf(event));
    this.#moveAll(this.xs[nearest(this.xs, this.x.place, this.#placeOf(event))]);
  }

  // A finger that moves scrolls the page.
  #press(event) {
    const drags = this.options.axis.zoom && event.pointerType === "mouse" && event.button === 0;
    if (drags && this.xs.length > 0) {
      this.pressed = this.#placeOf(event);
      this.svg.setPointerCapture(event.pointerId);
    }
    this.#point(event);
  }

  #release(event) {
    if (this.pressed === undefined) return;
    const ends = [this.pressed, this.#placeOf(event)].sort((a, b) => a - b);
    this.#drag(null);
    if ((ends[1] - ends[0]) * this.#innerWidth() < DRAG_MIN) return;
    this.#zoom(...ends.map(this.x.at));
  }

  // Shows what is dragged over so far; null ends it.
  #drag(to) {
    setAttribute(this.dragged, "visibility", to === null ? "hidden" : "visible");
    if (to === null) {
      this.pressed = undefined;
      return;
    }
    const [from, end] = [this.pressed, to].sort((a, b) => a - b);
    this.#cover(this.dragged, MARGIN.left + from * this.#innerWidth(), (end - from) * this.#innerWidth());
  }

  #cover(rect, x, width) {
    const height = HEIGHT - MARGIN.top - MARGIN.bottom;
    setAttributes(rect, { x: round(x), width: round(width), y: MARGIN.top, height });
  }

  // Shows what lies between two xs on all charts of the axis; without them everything.
  #zoom(from, to) {
    const { axis } = this.options;
    if (!axis.zoom || this.xs.length === 0) return;
    axis.zoom(this.xs, from, to);
    this.#scheduleAll();
    const [first, last] = axis.window ?? [];
    const words = axis.window ? `From ${axis.tick(first)} to ${axis.tick(last)}.` : "The whole run.";
    setText(this.spoken, words);
  }

  #key(event) {
    const isBrowsers = event.ctrlKey || event.metaKey || event.altKey;
    if (this.xs.length === 0 || isBrowsers) return;
    const last = this.xs.length - 1;
    const factor = ZOOMS[event.key];
    if (factor !== undefined && this.options.axis.zoom) {
      event.preventDefault();
      const [from, to] = this.options.axis.window ?? [0, this.xs[last]];
      const middle = this.cursor ?? (from + to) / 2;
      const half = ((to - from) / 2) * factor;
      return this.#zoom(middle - half, middle + half);
    }
    const step = KEYS[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const from = this.cursor === null ? last + (step < 0 ? 1 : 0) : this.#index();
    const to = Math.min(last, Math.max(0, from + step));
    this.#follow(this.xs[to]);
    this.#moveAll(this.xs[to]);
    setText(this.spoken, this.#words(to));
  }

  // Moves the window to where the cursor goes.
  #follow(x) {
    const { axis } = this.options;
    const [from, to] = axis.window ?? [-Infinity, Infinity];
    const beyond = Math.min(0, x - from) + Math.max(0, x - to);
    if (beyond === 0) return;
    axis.zoom(this.xs, from + beyond, to + beyond);
    this.#scheduleAll();
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
    const { format, layer, lines } = this.options;
    const values = layer
      ? layer.rows(at).map((row) => row.join(" "))
      : lines.map(({ key, label }) => `${label} ${format(this.columns[key][at])}`);
    const marks = this.#marksAt(at).map((label) => `; ${label}`);
    return `${this.#head(at)}: ${values.join(", ")}${marks.join("")}`;
  }

  #head(at) {
    const { axis, layer } = this.options;
    return layer ? layer.head(at, axis) : axis.value(this.xs[at]);
  }

  // What is marked nearer to this point than to any other.
  #marksAt(at) {
    const { place } = this.x;
    const near = this.marked.filter(({ x }) => nearest(this.xs, place, place(x)) === at);
    return near.map(({ label }) => label);
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

  #scheduleAll() {
    for (const chart of this.options.linked ?? [this]) chart.#schedule();
  }

  #innerWidth() {
    return Math.max(50, this.width - MARGIN.left - MARGIN.right);
  }

  #shown() {
    return this.options.lines.filter(({ key }) => !this.hidden.has(key) && this.columns[key]);
  }

  // Which points are shown: from the first to before the last.
  #part() {
    const [from, to] = this.options.axis.window ?? [-Infinity, Infinity];
    const first = this.xs.findIndex((x) => x >= from);
    const last = this.xs.findLastIndex((x) => x <= to);
    return first < 0 ? [0, 0] : [first, last + 1];
  }

  draw() {
    this.part = this.#part();
    const values = this.#shown().flatMap(({ key }) => present(this.columns[key].slice(...this.part)));
    this.x = this.options.axis.scale(this.xs, this.#innerWidth() / 70);
    if (this.times) {
      const { isOfDay, startMs, window } = this.options.axis;
      this.times.hidden = startMs === null;
      this.whole.hidden = window === null;
      // It may have been chosen on another chart of the axis.
      for (const button of this.times.children) {
        setAttribute(button, "aria-pressed", String((button.dataset.value === "day") === isOfDay));
      }
    }
    const { layer } = this.options;
    this.y = layer ? layer.scale() : (this.log ? logarithmic : linear)(extremes(values), 4);
    setAttributes(this.svg, { width: this.width, viewBox: `0 0 ${this.width} ${HEIGHT}` });
    setAttribute(this.svg, "aria-label", this.#summary());
    this.#drawGrid();
    layer?.draw(this.part, {
      left: (x) => Math.max(MARGIN.left, this.#left(x)),
      top: (value) => this.#top(value),
      right: this.width - MARGIN.right,
    });
    for (const { key, points } of this.options.lines) {
      const visible = this.columns[key] && !this.hidden.has(key);
      const line = () => (points ? this.#marks(this.columns[key]) : this.#line(this.columns[key]));
      setAttribute(this.paths.get(key), "d", visible ? line() : null);
    }
    this.#drawSpan();
    this.#drawMarks();
    this.#drawBand();
    this.#drawCursor();
  }

  #summary() {
    const last = this.xs.length - 1;
    const state = last < 0 ? "no samples yet" : this.#words(last);
    const zooms = this.options.axis.zoom ? ", + and - show less and more of it, 0 all" : "";
    const marks = this.marked.map(({ x, label }) => `${label} ${this.options.axis.value(x)}`);
    const marked = marks.length > 0 ? ` Marked: ${marks.join("; ")}.` : "";
    return `${this.options.title}. ${state}.${marked} Arrow keys move along the chart${zooms}.`;
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
    const [first, last] = this.options.axis.window ?? [this.xs[0], this.xs.at(-1)];
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
    const [first, end] = this.part;
    const isLone = (at) => at === first || lone(column, at);
    let path = "";
    let pen = "M";
    for (let at = first; at < end; at += 1) {
      const value = column[at];
      if (value === null || value === undefined) {
        if (this.options.join) continue;
        if (pen === "L" && isLone(at - 1)) path += RING;
        pen = "M";
        continue;
      }
      path += `${pen}${this.#left(this.xs[at])} ${this.#top(value)}`;
      pen = "L";
    }
    if (pen === "L" && isLone(end - 1)) path += RING;
    return path;
  }

  #marks(column) {
    const mark = (x, at) => [`M${this.#left(x)} ${this.#top(column[at])}${MARK}`, column[at]];
    const known = this.xs.map(mark).filter(([, value]) => present([value]).length > 0);
    return known.map(([path]) => path).join("");
  }

  #drawMarks() {
    const isShown = (x) => this.x.place(x) >= 0 && this.x.place(x) <= 1;
    const known = this.marked.filter(({ x }) => this.xs.length > 0 && isShown(x));
    const lines = known.map(({ x, label }) => {
      const at = this.#left(x);
      const ends = { x1: at, x2: at, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom };
      return svg("line", { class: "mark", ...ends }, svg("title", {}, label));
    });
    this.marks.replaceChildren(...lines);
  }

  #drawSpan() {
    const [from, to] = this.interval;
    const known = present([from, to]).length === 2 && this.xs.length > 1;
    setAttribute(this.span, "visibility", known ? "visible" : "hidden");
    if (!known) return;
    const x = this.#left(from);
    this.#cover(this.span, x, Math.max(1, this.#left(to) - x));
  }

  // Where both keys are known; a gap stays one.
  #drawBand() {
    const [upper, lower] = this.options.band ?? [];
    const visible = upper && !this.hidden.has(upper) && !this.hidden.has(lower);
    const known = (at) => present([this.columns[upper][at], this.columns[lower][at]]).length === 2;
    const at = (key, from, to) =>
      this.xs.slice(from, to).map((x, i) => `${this.#left(x)} ${this.#top(this.columns[key][from + i])}`);
    let path = "";
    const [first, end] = this.part;
    for (let from = first, to = first; visible && from < end; from = to + 1) {
      for (to = from; to < end && known(to); to += 1);
      if (to - from < 2) continue;
      path += `M${at(upper, from, to).join("L")}L${at(lower, from, to).reverse().join("L")}Z`;
    }
    setAttribute(this.band, "d", path || null);
  }

  #drawCursor() {
    const [from, to] = this.options.axis.window ?? [-Infinity, Infinity];
    const isKnown = this.cursor !== null && this.xs.length > 0;
    const visible = isKnown && this.cursor >= from && this.cursor <= to;
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
    const { format, layer } = this.options;
    const row = ({ key, label, style }) =>
      h(
        "div",
        {},
        h("i", { class: `swatch ${style}` }),
        h("span", {}, label),
        h("b", {}, format(this.columns[key][at])),
      );
    const marks = this.#marksAt(at).map((label) => h("p", {}, label));
    const told = ([label, value]) => h("div", {}, h("span", {}, label), h("b", {}, value));
    const rows = layer ? layer.rows(at).map(told) : this.#shown().map(row);
    this.tip.replaceChildren(h("p", {}, this.#head(at)), ...rows, ...marks);
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
