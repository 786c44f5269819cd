// Two tests over each other: #/compare/<base>/<test>.

import { get, inWords } from "./api.js";
import { quantileAxis } from "./axis.js";
import { Chart } from "./chart.js";
import { card, h, setText } from "./dom.js";
import * as format from "./format.js";
import { getTests } from "./history.js";
import { badge, scroll } from "./parts.js";
import { errorsOf } from "./run.js";
import { curvePoints } from "./test.js";

// Label, value of a result, format, and whether more is better (null: neither).
const latency = (label, field) => [
  label,
  (result) => result.metrics[`${field}_latency`],
  format.latency,
  false,
];
const ROWS = [
  ["Throughput, ok/s", (result) => result.requests_per_second, format.compact, true],
  ["Sent", (result) => result.sent, format.count, null],
  ["OK", (result) => result.ok, format.count, null],
  ["Errors", errorsOf, format.count, false],
  latency("Response min", "min"),
  latency("Response mean", "mean"),
  latency("Response p50", "p50"),
  latency("Response p90", "p90"),
  latency("Response p95", "p95"),
  latency("Response p99", "p99"),
  latency("Response p99.9", "p99_9"),
  latency("Response p99.99", "p99_99"),
  latency("Response max", "max"),
  ["Service p99", (result) => result.service.p99_latency, format.latency, false],
  ["Release lag p99", (result) => result.release_lag.p99_latency, format.latency, false],
];
// Smaller changes are noise more often than not.
const CHANGE_MIN = 0.05;

export function compareView(root, [base, test]) {
  const charts = [];
  const out = h("div", { id: "comparison" });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  root.append(h("h1", {}, "Compare"), chooser(base, test), problem, out);
  if (base && test) {
    load(base, test, out, charts).catch((error) => {
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

async function load(base, test, out, charts) {
  const metrics = (id) => get(`/metrics/${encodeURIComponent(id)}?points=2`);
  const query = new URLSearchParams({ base, test });
  const [one, other, compared] = await Promise.all([metrics(base), metrics(test), judged(query)]);
  const chart = new Chart(options());
  charts.push(chart);
  out.replaceChildren(verdict(compared), chart.element, table(one, other), quantiles(compared));
  drawCurves(chart, one, other);
}

// The orchestrator's own judgement; the page does without where it gives none.
async function judged(query) {
  try {
    return await get(`/compare?${query}`);
  } catch (error) {
    return { problem: error.message };
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
  unknown: "Too few samples to tell.",
};

function verdict(compared) {
  const { verdict: word, reasons = [], tolerance, problem } = compared;
  const noise = tolerance ? ` A change of up to ${format.percent(tolerance, 0)} is noise.` : "";
  const text = problem ?? (WORDS[word] ?? "") + noise;
  return h(
    "section",
    { class: "card verdict", "aria-label": "Verdict", "data-verdict": word },
    h("p", {}, word ? h("b", {}, word) : null, h("span", {}, text)),
    h(
      "ul",
      {},
      reasons.map((reason) => h("li", {}, reason)),
    ),
  );
}

function table(one, other) {
  const rows = ROWS.map(([label, value, show, moreIsBetter]) => {
    const [a, b] = [value(one), value(other)];
    const change = a > 0 && typeof b === "number" ? (b - a) / a : null;
    return h(
      "tr",
      { "data-row": label, "data-change": change },
      h("th", { scope: "row" }, label),
      h("td", { class: "number" }, show(a)),
      h("td", { class: "number" }, show(b)),
      h("td", { class: `number ${judge(change, moreIsBetter)}` }, changeText(change)),
    );
  });
  const link = (result) =>
    h("a", { href: `#/test/${encodeURIComponent(result.test_id)}` }, h("code", {}, result.test_id));
  const head = h(
    "tr",
    {},
    h("th", { scope: "col" }, ""),
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

function judge(change, moreIsBetter) {
  if (change === null || moreIsBetter === null || Math.abs(change) < CHANGE_MIN) return "";
  return change > 0 === moreIsBetter ? "better" : "worse";
}

// The quantiles that the orchestrator compares, from the whole histograms.
function quantiles(compared) {
  const rows = compared.quantiles ?? [];
  if (rows.length === 0) return "";
  const number = { class: "number" };
  const body = rows.map((row) =>
    h(
      "tr",
      { "data-quantile": row.quantile },
      h("th", { scope: "row" }, format.quantile(row.quantile)),
      h("td", number, format.latency(row.base_ms)),
      h("td", number, format.latency(row.test_ms)),
      h("td", number, changeText(row.change)),
      h("td", {}, badge(row.verdict)),
    ),
  );
  const names = ["Requests", "base", "test", "change"];
  const headings = names.map((name, at) => h("th", at === 0 ? { scope: "col" } : number, name));
  const head = h("tr", {}, headings, h("th", { scope: "col" }, "Verdict"));
  const table = h("table", {}, h("thead", {}, head), h("tbody", {}, body));
  return card("Response time, quantile by quantile", scroll("Quantiles", table));
}
