// The runs of one name over time, and what the judge says of each set: #/trend?name=<name>.

import { ApiError, get, inWords, poll } from "./api.js";
import { Chart } from "./chart.js";
import { card, h, keyed, setAttribute, setAttributes, setText } from "./dom.js";
import * as format from "./format.js";
import * as parts from "./parts.js";

const AGAIN_MS = 10_000;

export const trendLink = (name) => `#/trend?name=${encodeURIComponent(name)}`;

export function trendView(root, _, query) {
  const name = query.get("name");
  const page = build(name ?? "");
  root.append(page.element);
  if (name === null) return { stop: page.stop };
  const loop = poll(async () => {
    try {
      page.update(await get(`/trend?name=${encodeURIComponent(name)}`));
      page.tell("");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      page.tell(inWords(error));
    }
    return AGAIN_MS;
  });
  return {
    stop() {
      loop.stop();
      page.stop();
    },
  };
}

// The sets of a trend in the order of their first runs. A run that stands alone is a set of one.
export function setsOf({ runs, steps }) {
  const sets = new Map();
  for (const run of runs) {
    if (!sets.has(run.set)) sets.set(run.set, []);
    sets.get(run.set).push(run);
  }
  return [...sets].map(([set, all]) => ({
    set,
    all,
    counted: all.filter((run) => run.counted),
    step: steps.find((one) => one.set === set) ?? null,
  }));
}

// The smallest, the median and the largest value of what counts; nulls where nothing does.
export function spread(runs, key) {
  const values = runs.map((run) => run[key]).filter((value) => value !== null);
  values.sort((one, other) => one - other);
  if (values.length === 0) return [null, null, null];
  const half = (values.length - 1) / 2;
  const median = (values[Math.floor(half)] + values[Math.ceil(half)]) / 2;
  return [values[0], median, values[values.length - 1]];
}

function build(name) {
  const shown = { sets: [] };
  const linked = new Set();
  const times = new Chart(timesOptions(shown, linked));
  const rates = new Chart(ratesOptions(shown, linked));
  const table = runsTable();
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const input = h("input", { id: "name", name: "name", value: name, required: true });
  const submit = (event) => {
    event.preventDefault();
    location.hash = trendLink(input.value);
  };
  const label = h("label", { for: "name" }, "Name of the tests");
  const button = h("button", { type: "submit" }, "Show");
  const form = h("form", { class: "card chooser", on: { submit } }, h("div", { class: "field" }, label, input), button);
  const grid = h("div", { class: "grid", hidden: true }, times.element, rates.element);
  const heading = h("h1", {}, name ? `Trend of ${name}` : "Trend");
  table.element.hidden = true;
  const element = h("article", { id: "trend" }, heading, form, problem, grid, table.element);
  function update(trend) {
    shown.sets = setsOf(trend);
    grid.hidden = false;
    table.element.hidden = false;
    const xs = shown.sets.map((_, at) => at + 1);
    const spreads = (key) => shown.sets.map(({ counted }) => spread(counted, key));
    const column = (all, at) => all.map((values) => values[at]);
    const [p50, p99, ok] = ["p50_ms", "p99_ms", "ok_per_second"].map(spreads);
    times.update(xs, {
      p50: column(p50, 1),
      p99: column(p99, 1),
      low: column(p99, 0),
      high: column(p99, 2),
      ...judged(shown.sets, column(p99, 1)),
    });
    rates.update(xs, { ok: column(ok, 1), low: column(ok, 0), high: column(ok, 2) });
    table.update(trend.runs, shown.sets);
    setAttributes(element, { "data-runs": trend.runs.length, "data-sets": shown.sets.length });
    document.title = `trend · ${trend.name} · dlts`;
  }
  const tell = (words) => {
    problem.hidden = words === "";
    setText(problem, words);
  };
  return { element, update, tell, stop: () => [times, rates].forEach((chart) => chart.stop()) };
}

// Which sets became worse, or better, than the one before.
function judged(sets, values) {
  const of = (word) => values.map((value, at) => (sets[at].step?.verdict === word ? value : null));
  return { better: of("better"), worse: of("worse") };
}

// Sets in their order, whatever the time between them.
const setAxis = (shown) => ({
  scale(xs, tickCount) {
    const last = Math.max(2, xs.length);
    const step = Math.ceil(xs.length / Math.max(1, tickCount));
    const place = (x) => (xs.length === 1 ? 0.5 : (x - 1) / (last - 1));
    return { place, ticks: xs.filter((_, at) => at % step === 0) };
  },
  tick: (x) => format.date(shown.sets[x - 1]?.all[0].created_unix_ms).slice(5, 16),
  value(x) {
    const { all, counted } = shown.sets[x - 1];
    const runs = format.plural(counted.length, "run");
    const left = all.length > counted.length ? ` of ${all.length}` : "";
    return `${format.date(all[0].created_unix_ms)}, ${runs}${left}`;
  },
});

const ends = (style) => [
  { key: "low", label: "least", style },
  { key: "high", label: "most", style },
];

const timesOptions = (shown, linked) => ({
  title: "Response time over the runs",
  axis: setAxis(shown),
  format: format.latency,
  linked,
  log: true,
  band: ["high", "low"],
  lines: [
    { key: "p50", label: "p50", style: "c-green" },
    { key: "p99", label: "p99", style: "c-blue" },
    ...ends("c-grey dashed"),
    { key: "better", label: "better", style: "c-green", points: true },
    { key: "worse", label: "worse", style: "c-red", points: true },
  ],
});

const ratesOptions = (shown, linked) => ({
  title: "Answered over the runs, ok/s",
  axis: setAxis(shown),
  format: format.compact,
  linked,
  band: ["high", "low"],
  lines: [{ key: "ok", label: "ok", style: "c-blue" }, ...ends("c-grey dashed")],
});

function runsTable() {
  const body = h("tbody");
  const heads = ["Test", "Created", "Result", "ok/s", "p50", "p99", "Errors", "Against the set before"];
  const kinds = ["", "", "", "number", "number", "number", "number", "remark"];
  const head = h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)));
  const create = (run) => {
    const row = h("tr", { "data-test-id": run.test_id }, kinds.map((kind) => h("td", { class: kind })));
    const href = `#/test/${encodeURIComponent(run.test_id)}`;
    row.children[0].append(h("a", { href }, h("code", {}, run.test_id)));
    return row;
  };
  const show = (row, { judgement, ...run }) => {
    const [, created, result, ok, p50, p99, errors, word] = row.children;
    setText(created, format.date(run.created_unix_ms));
    setText(result, resultOf(run));
    setText(ok, format.compact(run.ok_per_second));
    setText(p50, format.latency(run.p50_ms));
    setText(p99, format.latency(run.p99_ms));
    setText(errors, format.percent(run.error_rate, 2));
    setText(word, judgement);
    setAttribute(row, "data-counted", run.counted);
  };
  const table = h("table", { class: "tests" }, h("thead", {}, head), body);
  const element = card("Runs", parts.scroll("Runs of this name, the newest first", table));
  const update = (runs, sets) => {
    const words = new Map(sets.map(({ all, step }) => [all[all.length - 1].test_id, inWordsOf(step)]));
    const rows = runs.map((run) => ({ ...run, judgement: words.get(run.test_id) ?? "" }));
    keyed(body, rows.reverse(), (run) => run.test_id, create, show);
  };
  return { element, update };
}

function resultOf({ state, verdict, breached }) {
  if (state !== "done" || verdict === null) return state;
  return breached > 0 ? "breached" : verdict;
}

// Of the last run of a set: what the judge says of all of them.
function inWordsOf(step) {
  return step ? [step.verdict, ...step.reasons].join("; ") : "";
}
