// Two sets of runs over each other: #/compare/<base>/<test>, each an id or several with commas
// between, or #/compare?base=…&test=…, which is the query of GET /compare.

import { get, inWords } from "./api.js";
import { quantileAxis } from "./axis.js";
import { Chart } from "./chart.js";
import { card, h, setText } from "./dom.js";
import * as format from "./format.js";
import { getTests } from "./history.js";
import { badge, scroll } from "./parts.js";
import { errorsOf } from "./run.js";
import { curvePoints } from "./test.js";

// Label, value of a result, format.
const latency = (label, field) => [
  label,
  (result) => result.metrics[`${field}_latency`],
  format.latency,
];
const ROWS = [
  ["Throughput, ok/s", (result) => result.requests_per_second, format.compact],
  ["Sent", (result) => result.sent, format.count],
  ["OK", (result) => result.ok, format.count],
  ["Errors", errorsOf, format.count],
  latency("Response min", "min"),
  latency("Response mean", "mean"),
  latency("Response p50", "p50"),
  latency("Response p90", "p90"),
  latency("Response p95", "p95"),
  latency("Response p99", "p99"),
  latency("Response p99.9", "p99_9"),
  latency("Response p99.99", "p99_99"),
  latency("Response max", "max"),
  ["Service p99", (result) => result.service.p99_latency, format.latency],
  ["Release lag p99", (result) => result.release_lag.p99_latency, format.latency],
];
export function compareView(root, [base, test], query) {
  const charts = [];
  const out = h("div", { id: "comparison" });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const asked = new URLSearchParams(query);
  if (base) asked.set("base", base);
  if (test) asked.set("test", test);
  const [one, other] = [asked.get("base"), asked.get("test")];
  root.append(h("h1", {}, "Compare"), chooser(one, other), problem, out);
  if (one && other) {
    load(asked, out, charts).catch((error) => {
      problem.hidden = false;
      setText(problem, inWords(error));
    });
  }
  return { stop: () => charts.forEach((chart) => chart.stop()) };
}

// Two fields that know the newest tests.
function chooser(base, test) {
  const list = h("datalist", { id: "tests" });
  const field = (name, label, value) =>
    h(
      "div",
      { class: "field" },
      h("label", { for: name }, label),
      h("input", { id: name, list: "tests", value: value ?? "" }),
    );
  const [one, other] = [field("base", "Base", base), field("test", "Test", test)];
  const submit = (event) => {
    event.preventDefault();
    const [a, b] = [one, other].map((part) => encodeURIComponent(part.lastChild.value.trim()));
    if (a && b) location.hash = `#/compare/${a}/${b}`;
  };
  const button = h("button", { type: "submit", class: "primary" }, "Compare");
  const fill = (tests) =>
    list.append(
      ...tests.map((known) =>
        h(
          "option",
          { value: known.test_id },
          `${known.test_type.toLowerCase()} ${known.state} ${format.date(known.created_unix_ms)}`,
        ),
      ),
    );
  getTests({ limit: 100 }).then(fill, () => {});
  return h("form", { class: "card chooser", on: { submit } }, one, other, button, list);
}

// The orchestrator judges; the curves and the counts are those of single runs.
async function load(query, out, charts) {
  const compared = await judged(query);
  const first = (side) => compared[`${side}_runs`]?.[0] ?? query.get(side)?.split(",")[0];
  const ids = [first("base"), first("test")];
  const metrics = (id) => get(`/metrics/${encodeURIComponent(id)}?points=2`);
  const [one, other] = ids.every(Boolean) ? await Promise.all(ids.map(metrics)) : [];
  if (!one) throw new Error(compared.problem);
  const chart = new Chart(options());
  charts.push(chart);
  const isSingle = compared.base_runs?.length === 1 && compared.test_runs?.length === 1;
  const note = h("p", { class: "note" }, "Curves and counts are those of the first run of each set.");
  out.replaceChildren(
    verdict(compared, query),
    lines(compared),
    chart.element,
    table(one, other),
    isSingle ? "" : note,
  );
  drawCurves(chart, one, other);
}

// The judgement, or why there is none. What is not to be compared is asked for all the same, since
// a refusal of the orchestrator says it in one sentence.
async function judged(query) {
  const anyway = new URLSearchParams(query);
  anyway.set("anyway", "1");
  try {
    const compared = await get(`/compare?${anyway}`);
    const { base_runs, test_runs, differences } = compared;
    if (query.get("anyway") || differences.length === 0) return compared;
    const problem = "Not to be compared:";
    return { base_runs, test_runs, problem, differences, isRefused: true };
  } catch (error) {
    return { problem: inWords(error) };
  }
}

const options = () => ({
  title: "Percentiles of the response time",
  axis: quantileAxis,
  format: format.latency,
  log: true,
  join: true,
  lines: [
    { key: "base", label: "base", style: "c-grey" },
    { key: "test", label: "test", style: "c-blue" },
  ],
});

function drawCurves(chart, one, other) {
  const points = [one, other].map(
    (result) => new Map(curvePoints(result).map((point) => [point.quantile, point.response_ms])),
  );
  const xs = [...new Set(points.flatMap((map) => [...map.keys()]))].sort((a, b) => a - b);
  const column = (map) => xs.map((x) => map.get(x) ?? null);
  chart.update(xs, { base: column(points[0]), test: column(points[1]) });
}

const WORDS = {
  better: "Better than the base beyond the noise, and nowhere worse.",
  same: "No difference beyond the noise.",
  worse: "Worse than the base beyond the noise.",
  mixed: "Better than the base in some, worse in others.",
  unlike: "What stands on both sides is not the same thing.",
  unknown: "This cannot be told.",
};

function verdict(compared, query) {
  const { verdict: word, reasons = [], differences = [], tolerance, problem } = compared;
  const none = tolerance >= 0 ? ` A change of up to ${format.percent(tolerance, 0)} is none.` : "";
  const text = problem ?? (WORDS[word] ?? "") + none;
  const anyway = new URLSearchParams(query);
  anyway.set("anyway", "1");
  const link = h("a", { href: `#/compare?${anyway}`, class: "button" }, "Compare anyway");
  const told = compared.isRefused ? "" : "compared anyway: ";
  const items = [...reasons, ...differences.map((words) => told + words)];
  return h(
    "section",
    { class: "card verdict", "aria-label": "Verdict", "data-verdict": word ?? "refused" },
    h("p", {}, word ? h("b", {}, word) : null, h("span", {}, text)),
    h(
      "ul",
      {},
      items.map((item) => h("li", {}, item)),
    ),
    compared.isRefused ? h("p", {}, link) : null,
  );
}

function table(one, other) {
  const rows = ROWS.map(([label, value, show]) => {
    const [a, b] = [value(one), value(other)];
    const change = a > 0 && typeof b === "number" ? (b - a) / a : null;
    return h(
      "tr",
      { "data-row": label, "data-change": change },
      h("th", { scope: "row" }, label),
      h("td", { class: "number" }, show(a)),
      h("td", { class: "number" }, show(b)),
      h("td", { class: "number" }, changeText(change)),
    );
  });
  const link = (result) =>
    h("a", { href: `#/test/${encodeURIComponent(result.test_id)}` }, h("code", {}, result.test_id));
  const head = h(
    "tr",
    {},
    h("th", { scope: "col" }, "figure"),
    h("th", { scope: "col", class: "number" }, "base ", link(one)),
    h("th", { scope: "col", class: "number" }, "test ", link(other)),
    h("th", { scope: "col", class: "number" }, "change"),
  );
  return card(
    "Differences",
    scroll("Differences", h("table", {}, h("thead", {}, head), h("tbody", {}, rows))),
  );
}

function changeText(change) {
  if (typeof change !== "number") return format.NONE;
  return `${change > 0 ? "+" : ""}${format.percent(change)}`;
}

// Every line that is judged, with the interval of its change.
function lines(compared) {
  if (!compared.quantiles) return "";
  const milliseconds = (name, rows = []) =>
    rows
      .filter((row) => row.base_ms !== null || row.test_ms !== null)
      .map((row) => [
        `${name} ${percentile(row.quantile)}`,
        row,
        format.latency,
        [row.base_ms, row.test_ms],
        [row.base_interval_ms, row.test_interval_ms],
      ]);
  const plain = (name, row, show) => [
    name,
    row,
    show,
    [row.base, row.test],
    [row.base_interval, row.test_interval],
  ];
  const all = [
    plain("Throughput, ok/s", compared.requests_per_second, format.compact),
    plain("Errors", compared.error_rate, (share) => format.percent(share, 2)),
    ...milliseconds("Response", compared.quantiles),
    ...milliseconds("Service", compared.service),
  ];
  const number = { class: "number" };
  const names = ["Line", "base", "test", "change", "95 % interval"];
  const headings = names.map((name, at) => h("th", at === 0 ? { scope: "col" } : number, name));
  const head = h("tr", {}, headings, h("th", { scope: "col" }, "Verdict"));
  const body = all.map((line) => lineRow(line, number));
  const table = h("table", {}, h("thead", {}, head), h("tbody", {}, body));
  return card("Line by line", scroll("Lines", table));
}

const percentile = (quantile) =>
  quantile < 1 ? `p${Number((quantile * 100).toFixed(4))}` : "max";

function lineRow([name, row, show, values, intervals], number) {
  const shown = (at) => {
    const [value, interval] = [values[at], intervals[at]];
    const title = interval ? `95 %: ${show(interval[0])} to ${show(interval[1])}` : null;
    return h("td", { ...number, title }, show(value));
  };
  const between = row.change_interval?.map((end) => changeText(end)).join(" to ") ?? format.NONE;
  return h(
    "tr",
    { "data-line": name },
    h("th", { scope: "row" }, name),
    shown(0),
    shown(1),
    h("td", number, changeText(row.change)),
    h("td", number, between),
    h("td", { title: row.reason }, badge(row.verdict), row.reason ? ` ${row.reason}` : ""),
  );
}
