// The parts of a test's page. Each is { element, update(…) } and is updated in place.

import { card, h, keyed, setAttribute, setAttributes, setText } from "./dom.js";
import * as format from "./format.js";
import * as run from "./run.js";

export function badge(text) {
  return h("span", { class: `badge ${text}` }, text);
}

export function setBadge(element, text) {
  setText(element, text);
  setAttribute(element, "class", `badge ${text}`);
}

const share = (part, whole) => (whole > 0 ? format.percent(part / whole, 2) : format.NONE);

// What the drivers send now. Of those that say nothing for a while that is not known.
function rateNow(nodes) {
  const heard = nodes.filter((node) => !node.stale);
  if (heard.length === 0 && nodes.length > 0) return "no news from the drivers";
  const now = heard.reduce((sum, node) => sum + (node.rate ?? 0), 0);
  const of = heard.length < nodes.length ? ` by ${heard.length} of ${nodes.length} drivers` : "";
  return `now ${format.compact(now)}/s sent${of}`;
}

// As much as a tile holds.
const short = (number) => (number < 1e8 ? format.count(number) : format.compact(number));

const LATENCY_TILES = [
  ["p50", "p50_latency"],
  ["p99", "p99_latency"],
  ["p99.9", "p99_9_latency"],
  ["max", "max_latency"],
];

// Between which values a quantile lies, or why nobody can say. Results of earlier editions have none.
function intervalOf(result, label) {
  const quantile = Number(label.slice(1)) / 100;
  const same = (row) => Math.abs(row.quantile - quantile) < 1e-9;
  const row = result.intervals?.response.find(same);
  if (!row) return null;
  if (row.reason) return `No interval: ${row.reason}`;
  return `95 % interval: ${format.latency(row.low_ms)} to ${format.latency(row.high_ms)}`;
}

// The figures that people look for first.
export function tiles() {
  const parts = {};
  const tile = (key, label) => {
    parts[key] = { value: h("b", {}, format.NONE), note: h("small", {}, "\u00a0") };
    const { value, note } = parts[key];
    parts[key].tile = h(
      "div",
      { class: "tile", "data-tile": key },
      h("span", {}, label),
      value,
      note,
    );
    return parts[key].tile;
  };
  const element = h(
    "div",
    { class: "tiles" },
    tile("throughput", "Throughput, ok/s"),
    tile("sent", "Sent"),
    tile("ok", "OK"),
    tile("errors", "Errors"),
    LATENCY_TILES.map(([label]) => tile(label, `Response ${label}`)),
  );
  const show = (key, raw, value, note) => {
    setText(parts[key].value, value);
    setText(parts[key].note, note);
    setAttribute(parts[key].tile, "data-value", raw);
  };
  function update(result) {
    const errors = run.errorsOf(result);
    const rate = result.requests_per_second;
    const note = run.isLoading(result.state) ? rateNow(result.nodes) : "over the run";
    show("throughput", rate, format.compact(rate), note);
    show("sent", result.sent, short(result.sent), `of ${format.count(result.planned)}`);
    show("ok", result.ok, short(result.ok), `${share(result.ok, result.sent)} of sent`);
    show("errors", errors, format.count(errors), `${share(errors, result.sent)} of sent`);
    setAttribute(parts.errors.tile, "data-bad", errors > 0);
    for (const [label, field] of LATENCY_TILES) {
      const service = `service ${format.latency(result.service[field])}`;
      show(label, result.metrics[field], format.latency(result.metrics[field]), service);
      setAttribute(parts[label].tile, "title", intervalOf(result, label));
    }
  }
  return { element, update };
}

// Done of planned, what is left, coverage and start skew.
export function progressBar() {
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the test" });
  const facts = h("dl", { class: "facts" });
  const element = h("div", { class: "progress" }, bar, facts);
  function update(result, params) {
    const done = run.progress(result, params);
    setAttribute(bar, "value", done);
    const left = run.remainingSeconds(result, params);
    const { coverage } = result;
    const skew = result.start_skew_ms;
    const nodes = `${coverage.nodes_reporting} of ${coverage.nodes_expected}`;
    const rows = [
      ["Progress", format.percent(done), { "data-progress": done }],
      ["Elapsed", format.duration(result.elapsed_s), { "data-elapsed-s": result.elapsed_s }],
      ["Remaining", format.duration(left), { "data-eta-s": left }],
      ["Nodes reporting", nodes, { "data-nodes-reporting": coverage.nodes_reporting }],
      [
        "Requests accounted for",
        format.percent(coverage.planned_share, 2),
        { "data-planned-share": coverage.planned_share },
      ],
      [
        "Reports missing",
        format.count(coverage.reports_missing),
        { "data-reports-missing": coverage.reports_missing },
      ],
      // Results of older versions do not say.
      ...(coverage.in_no_second?.sent
        ? [["Sent, in no second", format.count(coverage.in_no_second.sent), {}]]
        : []),
      ["Start skew", format.latency(skew), { "data-start-skew-ms": skew }],
      ["Received", format.bytes(result.bytes.received), { "data-bytes": result.bytes.received }],
    ];
    keyed(
      facts,
      rows,
      ([label]) => label,
      fact,
      (child, [, value, raw]) => {
        setText(child.lastChild, value);
        setAttributes(child.lastChild, raw);
      },
    );
  }
  return { element, update };
}

const fact = ([label]) => h("div", {}, h("dt", {}, label), h("dd"));

// Whether the numbers may be believed, and what to do if not.
export function verdict() {
  const name = h("b");
  const words = h("span");
  // Of many there is a scroll bar, which the keyboard reaches.
  const reasons = h("ul", { tabindex: 0, "aria-label": "Reasons of the verdict" });
  const thresholds = h("ul", { class: "thresholds", "aria-label": "Thresholds" });
  const element = h(
    "section",
    { class: "card verdict", "aria-label": "Verdict" },
    h("p", {}, name, words),
    reasons,
    thresholds,
  );
  function update(result) {
    const started = result.sent > 0 || run.hasEnded(result.state);
    const judged = result.verdict.verdict;
    setAttribute(element, "data-verdict", started ? judged : "none");
    const soFar = run.hasEnded(result.state) ? "" : " so far";
    setText(name, started ? judged + soFar : "no verdict yet");
    setText(words, started ? run.VERDICT_WORDS[judged] : "Nothing has been sent.");
    const told = started ? result.verdict.reasons : [];
    keyed(
      reasons,
      told,
      (_, at) => at,
      () => h("li"),
      (child, reason) => setText(child, reason),
    );
    keyed(
      thresholds,
      result.thresholds,
      // The same one may be given twice.
      (_, at) => at,
      () => h("li"),
      showThreshold,
    );
  }
  return { element, update };
}

function showThreshold(child, { threshold, observed, pass }) {
  const observedText = observed === null ? "no samples" : `observed ${unitOf(threshold)(observed)}`;
  setAttributes(child, { "data-threshold": threshold, "data-pass": String(pass) });
  setText(child, `${pass ? "✓ holds" : "✗ breached"}: ${threshold} (${observedText})`);
}

// Latencies are observed in ms, rates of errors as a share, the rest as numbers.
function unitOf(threshold) {
  const metric = threshold.split(/[<>]/)[0].trim();
  if (/_rate$/.test(metric)) return (value) => format.percent(value, 3);
  return /^(errors|ok|rps|requests_per_second)$/.test(metric) ? format.significant : format.latency;
}

// Status codes, and errors by kind, as bars.
export function outcomes() {
  const codes = h("div", { class: "bars" });
  const kinds = h("div", { class: "bars" });
  const note = h("p", { class: "note" });
  const reasons = h("ul", { class: "note", "aria-label": "Reasons of errors" });
  const bad = h("div", { class: "note", "data-bad-answers": 0 });
  const element = card(
    "Status codes and errors by kind",
    codes,
    h("h3", {}, "Errors"),
    kinds,
    reasons,
    bad,
    note,
  );
  function update(result) {
    const statuses = Object.entries(result.status_codes);
    drawBars(codes, statuses, result.completed, (code) => `s${code[0]}xx`, "data-status");
    if (statuses.length === 0) codes.replaceChildren(h("p", { class: "note" }, "No answers yet."));
    drawBars(kinds, Object.entries(result.errors), result.sent, () => "error", "data-error");
    setText(note, `${format.plural(result.connect_errors, "failed attempt")} to connect.`);
    setAttribute(note, "data-connect-errors", result.connect_errors);
    keyed(
      reasons,
      // Results of the first edition have none.
      result.reasons ?? [],
      (_, at) => at,
      () => h("li"),
      (child, { kind, text, count }) => setText(child, `${kind}: ${text} (${format.count(count)}×)`),
    );
    const answers = result.bad_answers ?? [];
    setAttribute(bad, "data-bad-answers", answers.length);
    keyed(bad, answers, (_, at) => at, badAnswer, showBadAnswer);
  }
  return { element, update };
}

// One of the first answers that count as errors, as it came.
function badAnswer() {
  return h("details", {}, h("summary"), h("pre", { tabindex: 0 }));
}

function showBadAnswer(details, { step, why, text, is_cut: isCut }) {
  const [summary, pre] = details.children;
  setText(summary, `A bad answer: ${step ? `${step}: ` : ""}${why}`);
  setText(pre, `${text || "(HTTP/2: only its status is kept)"}${isCut ? "\n…" : ""}`);
  setAttribute(pre, "aria-label", "The answer as it came");
}

function drawBars(parent, entries, whole, styleOf, attribute) {
  const create = ([name]) =>
    h(
      "div",
      { class: "bar-row" },
      h("span", {}, name),
      h("div", { class: "bar-track" }, h("i", { class: styleOf(name) })),
      h("b"),
    );
  keyed(
    parent,
    entries,
    ([name]) => name,
    create,
    (row, [name, number]) => {
      const [, track, text] = row.children;
      setAttributes(row, { [attribute]: name, "data-count": number });
      track.firstChild.style.width = `${whole > 0 ? (number / whole) * 100 : 0}%`;
      setText(text, number > 0 ? `${format.count(number)} · ${share(number, whole)}` : "0");
    },
  );
}

const FIGURES = [
  ["min", "min"],
  ["mean", "mean"],
  ["p50", "p50"],
  ["p90", "p90"],
  ["p95", "p95"],
  ["p99", "p99"],
  ["p99.9", "p99_9"],
  ["p99.99", "p99_99"],
  ["max", "max"],
  ["mode", "mode"],
  ["stddev", "stddev"],
];
const POPULATIONS = [
  ["metrics", "Response time", "from the intended start to the end of the answer"],
  ["service", "Service time", "from the actual start to the end of the answer"],
  [
    "release_lag",
    "Release lag",
    "from the intended to the actual start: the generator's own delay",
  ],
  ["error_latency", "Errors", "response time of requests that ended in an error"],
];

// All figures of all populations.
export function latencyTable() {
  const cells = new Map();
  const cell = (field, figure) => {
    const td = h("td", { class: "number" });
    cells.set(`${field}.${figure}`, td);
    return td;
  };
  const row = ([field, label, meaning]) =>
    h(
      "tr",
      { "data-population": field },
      h("th", { scope: "row", title: meaning }, label),
      FIGURES.map(([, figure]) => cell(field, figure)),
    );
  const head = h(
    "tr",
    {},
    h("th", { scope: "col" }, "ms"),
    FIGURES.map(([label]) => h("th", { scope: "col", class: "number" }, label)),
  );
  const table = h("table", {}, h("thead", {}, head), h("tbody", {}, POPULATIONS.map(row)));
  const element = card("Latency over the whole run", scroll("Latency figures", table));
  function update(result) {
    for (const [field] of POPULATIONS) {
      for (const [, figure] of FIGURES) {
        const ms = result[field][`${figure}_latency`];
        const td = cells.get(`${field}.${figure}`);
        setText(td, format.significant(ms));
        setAttribute(td, `data-${figure.replace("_", "-")}-ms`, ms);
      }
    }
  }
  return { element, update };
}

// A table that may be wider than a phone. Its card is a landmark of its own, of another name.
export function scroll(label, table) {
  const name = `${label}, as a table`;
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, table);
}

// The identities that must hold between the counts.
export function accounting() {
  const sums = h("p", { class: "sums" });
  const state = h("p", { class: "note" });
  const element = card("Accounting", sums, state);
  function update(result) {
    const n = (name) => format.count(result[name]);
    // What most runs have none of.
    const some = (name, sign = "+") => (result[name] > 0 ? ` ${sign} ${name} ${n(name)}` : "");
    const errors = format.count(run.errorsOf(result));
    setText(
      sums,
      [
        `planned ${n("planned")} = sent ${n("sent")}${some("returned", "−")} + shed ${n("shed")}` +
          `${some("refused")} + not sent ${n("not_sent")}${some("unknown")}`,
        `sent ${n("sent")} = ok ${n("ok")} + errors ${errors} + aborted ${n("aborted")}` +
          some("returned"),
        `completed ${n("completed")} whole answers; warm-up ${n("warmup_sent")}, not counted`,
      ].join("\n"),
    );
    const { holds, imbalance } = result.accounting;
    const ended = run.hasEnded(result.state);
    const open = ended
      ? `Does not add up: ${imbalance ?? "a node is missing"}.`
      : "Still open: the run goes on.";
    setText(state, holds ? "✓ Adds up exactly." : open);
    setAttribute(element, "data-holds", String(holds));
  }
  return { element, update };
}

function shown(name, value) {
  // One line of JSON is for machines.
  if (name === "document") return JSON.stringify(JSON.parse(value), null, 2);
  return typeof value === "object" ? JSON.stringify(value) : value;
}

// The parameters, as the orchestrator holds them.
export function configuration() {
  const list = h("dl", { class: "facts" });
  const element = h("details", { class: "card" }, h("summary", {}, "Parameters"), list);
  function update(test) {
    const rows = Object.entries(test.config);
    keyed(
      list,
      rows,
      ([name]) => name,
      fact,
      (child, [name, value]) => {
        setAttribute(child, "data-param", name);
        setText(child.lastChild, shown(name, value));
      },
    );
  }
  return { element, update };
}
