// A heat map of latencies: seconds across, bands of latency up, the darker the more samples. It is
// loaded only while it is open, and no more often than it may cost.

import { get, poll } from "./api.js";
import { logarithmic } from "./axis.js";
import { Chart } from "./chart.js";
import { choice, h, keyed, setAttribute, setText, svg } from "./dom.js";
import * as format from "./format.js";
import * as parts from "./parts.js";

// As many columns as can be told apart.
const POINTS = 200;
const SHADES = 7;
// While a run goes on: at most one a second, and so many bytes a second.
const EVERY_MS = 1_000;
const BYTES_A_MS = 10;
const HIDDEN_MS = 10_000;
// Bands that are told of one column.
const TOLD = 3;

// The least count of each shade: each is as many times the one before.
export function shades(most) {
  const ratio = most ** (1 / (SHADES - 1));
  return Array.from({ length: SHADES }, (_, at) => Math.ceil(ratio ** at - 1e-9));
}

// Loads what is wanted of a run unless that is there and the run is over, and says after how many ms
// it may be loaded again. `load` resolves to the bytes that came; 0 where something else is wanted by
// now.
export async function pace(state, wanted, load) {
  if (document.hidden) return HIDDEN_MS;
  const { isOver } = state;
  if (isOver && state.loaded === wanted) return HIDDEN_MS;
  const bytes = await load();
  state.loaded = bytes > 0 && isOver ? wanted : null;
  return bytes > 0 ? Math.max(EVERY_MS, bytes / BYTES_A_MS) : 0;
}

// How an answer of the orchestrator is drawn and told: the layer of a chart (see chart.js).
export class HeatLayer {
  #map = { span_s: 1, samples: 0, edges_ms: [], columns: [] };
  element = svg("g", { class: "heat" });
  columns = [];

  // The middle of each column, in seconds.
  take(map) {
    this.#map = map;
    this.columns = map.columns.map(([second, first, ...counts]) => ({ second, first, counts }));
    this.least = shades(this.columns.reduce((most, { counts }) => Math.max(most, ...counts), 1));
    return this.columns.map(({ second }) => second + map.span_s / 2);
  }

  get samples() {
    return this.#map.samples;
  }

  // All bands: { label, count }, the highest first.
  bands() {
    const counts = new Array(Math.max(0, this.#map.edges_ms.length - 1)).fill(0);
    for (const column of this.columns) {
      column.counts.forEach((count, at) => (counts[column.first + at] += count));
    }
    return counts.map((count, at) => ({ label: this.#band(at), count })).reverse();
  }

  scale() {
    const edges = this.#map.edges_ms;
    return logarithmic(edges.length > 0 ? [edges[0], edges[edges.length - 1]] : [1], 4);
  }

  // One path a shade. left and top place a second and a latency, width and height the whole.
  draw([from, to], { left, top, right }) {
    const { edges_ms: edges, span_s: span } = this.#map;
    const paths = new Array(SHADES).fill("");
    for (const { second, first, counts } of this.columns.slice(from, to)) {
      const [start, end] = [left(second), Math.min(right, left(second + span))];
      counts.forEach((count, at) => {
        if (count === 0 || end <= start) return;
        const [high, low] = [top(edges[first + at + 1]), top(edges[first + at])];
        paths[this.#shade(count)] += `M${start} ${high}H${end}V${low}H${start}Z`;
      });
    }
    this.element.replaceChildren(...paths.map((d, at) => svg("path", { class: `heat-${at + 1}`, d })));
  }

  #shade(count) {
    return this.least.findLastIndex((least) => count >= least);
  }

  #band(at) {
    const [low, high] = [this.#map.edges_ms[at], this.#map.edges_ms[at + 1]];
    return `${format.latency(low)} to ${format.latency(high)}`;
  }

  // Which seconds a column has.
  head(at, axis) {
    const { second } = this.columns[at];
    const span = this.#map.span_s;
    return span === 1 ? axis.value(second) : `${axis.tick(second)} to ${axis.tick(second + span)}`;
  }

  // The fullest bands of a column and its highest one, as [label, value].
  rows(at) {
    const { first, counts } = this.columns[at];
    const all = counts.reduce((sum, count) => sum + count, 0);
    const row = (index) => {
      const share = format.percent(counts[index] / all);
      return [this.#band(first + index), `${format.count(counts[index])} (${share})`];
    };
    const fullest = [...counts.keys()].sort((a, b) => counts[b] - counts[a]).slice(0, TOLD);
    const highest = counts.length - 1;
    const told = fullest.includes(highest) ? fullest : [...fullest, highest];
    return [["samples", format.count(all)], ...told.sort((a, b) => b - a).map(row)];
  }
}

export function heatMap(testId, axis, linked) {
  const state = { of: "response", loop: null, isOver: false, changes: [], loaded: null };
  const layer = new HeatLayer();
  const legend = h("span", { class: "legend", role: "group", "aria-label": "Samples of a shade" });
  const chart = new Chart({
    title: "Latencies by second",
    axis,
    format: format.latency,
    linked,
    lines: [],
    layer,
    legend,
  });
  const table = bandTable();
  const change = (value) => {
    state.of = value;
    state.loop?.now();
  };
  const times = [
    ["response", "response time"],
    ["service", "service time"],
  ];
  const element = h(
    "details",
    { class: "card heat-map", "data-columns": 0 },
    h("summary", {}, "Latency heat map"),
    choice("Latencies", times, state.of, change),
    chart.element,
    h("details", {}, h("summary", {}, "All bands"), table.element),
  );

  // Resolves to the bytes of what came.
  async function load() {
    const { of } = state;
    const query = `histogram=${of}&points=${POINTS}`;
    const map = await get(`/tests/${encodeURIComponent(testId)}/heatmap?${query}`);
    // Another one was chosen meanwhile.
    if (of !== state.of) return 0;
    chart.update(layer.take(map), {}, [], state.changes);
    showLegend(legend, layer.samples > 0 ? layer.least : []);
    table.update(layer);
    setAttribute(element, "data-columns", layer.columns.length);
    setAttribute(element, "data-samples", layer.samples);
    setAttribute(element, "data-histogram", of);
    return JSON.stringify(map).length;
  }

  const step = () => pace(state, state.of, load);

  const stop = () => {
    state.loop?.stop();
    state.loop = null;
  };
  element.addEventListener("toggle", () => {
    stop();
    if (element.open) state.loop = poll(step);
  });
  return {
    element,
    chart,
    load,
    // Whether the run is over, and where the load became another.
    tell(isOver, changes) {
      Object.assign(state, { isOver, changes });
    },
    stop() {
      stop();
      chart.stop();
    },
  };
}

function showLegend(legend, least) {
  const shown = least.map((count, at) => [count, at]).filter(([count, at]) => count !== least[at + 1]);
  const swatch = ([count, at]) =>
    h("span", {}, h("i", { class: `swatch heat-${at + 1}` }), `${format.compact(count)}+`);
  legend.replaceChildren(...shown.map(swatch));
}

function bandTable() {
  const body = h("tbody");
  const heads = ["Latency", "Samples", "Share"];
  const head = h(
    "tr",
    {},
    heads.map((text, at) => h("th", { scope: "col", class: at > 0 ? "number" : "" }, text)),
  );
  const table = h("table", {}, h("thead", {}, head), body);
  const element = parts.scroll("Samples by band of latency, over the whole run", table);
  const create = () =>
    h("tr", {}, h("th", { scope: "row" }), h("td", { class: "number" }), h("td", { class: "number" }));
  function update(layer) {
    const show = (row, { label, count }) => {
      const [band, samples, share] = row.children;
      setText(band, label);
      setText(samples, format.count(count));
      setText(share, format.percent(count / layer.samples, 2));
    };
    keyed(body, layer.bands(), ({ label }) => label, create, show);
  }
  return { element, update };
}
