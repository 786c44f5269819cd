// Searches for a capacity: #/capacity lists them, #/capacity/<id> shows one, live or over.

import { ApiError, Unreachable, get, inWords, poll, post } from "./api.js";
import { rateAxis } from "./axis.js";
import { Chart } from "./chart.js";
import { card, h, keyed, setAttribute, setAttributes, setText } from "./dom.js";
import * as format from "./format.js";
import * as parts from "./parts.js";

const LIVE_MS = 1_000;
const ENDED_MS = 5_000;

const JUDGED = {
  holds: { word: "holds", style: "pass" },
  breached: { word: "breached", style: "fail" },
  limited: { word: "limited here", style: "suspect" },
};
const LIMITS = {
  arrivals: "no run can have more poisson arrivals: take a shorter stage, or arrival: even",
  connections: "all connections were busy while the target answered in time: use more connections",
  generator: "the drivers could not offer more: use more cores, or drivers on other hosts",
};

export const searchLink = (id) => `#/capacity/${encodeURIComponent(id)}`;

// What is known, in a sentence.
export function found({ state, capacity, wide, bounds, limited_by: limit, thresholds, unit, collapsed }) {
  const { at_least: low, below: high } = capacity;
  const rate = (value) => `${format.significant(value)} ${unit}/s`;
  const kept = `with ${thresholds.join(", ")}`;
  const going = state === "running" ? "So far: " : "";
  if (low === null && high === null) return state === "running" ? "Nothing is known yet." : "Not found.";
  if (low === null) return `${going}less than ${rate(high)} ${kept}.`;
  const fell = collapsed ? " After the overload it did not keep that any more." : "";
  const ended = state !== "running";
  const far = wide && ended ? ` Further apart than asked: begin the next search at ${format.significant(low)}.` : "";
  if (high !== null) return `${going}${format.significant(low)} to ${rate(high)} ${kept}.${far}${fell}`;
  const limited = LIMITS[limit] ?? (bounds.is_clamped ? LIMITS.arrivals : null);
  const why = ended && limited ? `; ${limited}` : "";
  return `${going}at least ${rate(low)} ${kept}${why}.`;
}

export function searchesTable(label) {
  const body = h("tbody");
  const heads = ["Search", "State", "Found", "Steps", "Created", "Target"];
  const head = h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)));
  const create = () => h("tr", {}, heads.map(() => h("td")));
  const show = (row, search) => {
    const [link, state, words, steps, created, target] = row.children;
    const name = search.name ?? search.test_id;
    if (!link.firstChild) link.append(h("a", { href: searchLink(search.test_id) }, name));
    if (!state.firstChild) state.append(parts.badge(search.state));
    parts.setBadge(state.firstChild, search.state);
    setText(words, found(search));
    setText(steps, format.count(search.steps_done));
    setText(created, format.date(search.created_unix_ms));
    setText(target, search.target);
  };
  const table = h("table", { class: "tests" }, h("thead", {}, head), body);
  const update = (searches) => keyed(body, searches, (one) => one.test_id, create, show);
  return { element: parts.scroll(label, table), update };
}

export function capacityView(root, [testId]) {
  return testId ? searchView(root, testId) : listView(root);
}

function listView(root) {
  const table = searchesTable("Searches for a capacity");
  const none = h("p", { class: "note" }, "No search yet: ", h("code", {}, "client capacity FILE"), " begins one.");
  root.append(h("h1", {}, "Capacity"), card("Searches", none, table.element));
  return poll(async () => {
    const searches = await get("/capacity");
    table.update(searches);
    none.hidden = searches.length > 0;
    table.element.hidden = searches.length === 0;
    return LIVE_MS;
  });
}

function searchView(root, testId) {
  return followed(root, "capacity", testId, build(testId));
}

// The page of what makes one run after another, { element, head, update(answer), stop() }: it is asked
// for again and again, and its button stops it.
export function followed(root, collection, testId, page) {
  const id = encodeURIComponent(testId);
  const { problem, button } = page.head;
  const tell = (error) => {
    problem.hidden = false;
    setText(problem, inWords(error));
  };
  root.append(page.element);
  const loop = poll(async () => {
    try {
      const answer = await get(`/${collection}/${id}`);
      page.head.update(answer);
      page.update(answer);
      problem.hidden = true;
      return answer.state === "running" ? LIVE_MS : ENDED_MS;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      tell(error);
      return ENDED_MS;
    }
  });
  button.addEventListener("click", async () => {
    try {
      await post(`/stop/${id}`);
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof Unreachable)) throw error;
      tell(error);
    }
    loop.now();
  });
  return {
    stop() {
      loop.stop();
      page.stop();
    },
  };
}

// What stands above it; `remark` says what goes on, or why it ended.
export function headOf(kind, testId, remark) {
  const badge = parts.badge("unknown");
  const name = h("span", { class: "name" });
  const note = h("p", { class: "note" });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const button = h("button", { type: "button", class: "danger", "data-command": "stop" }, "Stop");
  const title = h("div", { class: "title" }, h("h1", {}, h("code", {}, testId)), name, badge);
  const actions = h("div", { class: "actions", "data-live": true }, button);
  const element = h("header", { class: "head" }, title, actions, note, problem);
  function update(answer) {
    parts.setBadge(badge, answer.state);
    if (answer.state !== "running") setAttribute(badge, "class", "badge");
    setText(name, answer.name ?? "");
    setText(note, remark(answer));
    button.hidden = answer.state !== "running";
    document.title = `${answer.state} · ${kind} ${testId} · dlts`;
  }
  return { element, problem, button, update };
}

function build(testId) {
  const linked = new Set();
  const times = new Chart(timesOptions(linked));
  const rates = new Chart(ratesOptions(linked));
  const steps = stepsTable();
  const head = headOf("capacity", testId, remark);
  const answer = h("p", { class: "answer", role: "status" });
  const grid = h("div", { class: "grid" }, times.element, rates.element);
  const attributes = { id: "search", "data-test-id": testId };
  const element = h("article", attributes, head.element, answer, grid, steps.element);
  function update(search) {
    setText(answer, found(search));
    drawCharts(times, rates, search);
    steps.update(search.steps);
    setAttributes(element, {
      "data-state": search.state,
      "data-at-least": search.capacity.at_least,
      "data-below": search.capacity.below,
      "data-steps": search.steps.length,
    });
  }
  const stop = () => [times, rates].forEach((chart) => chart.stop());
  return { element, head, update, stop };
}

// Who loads what, and since when.
export function about({ target, participants, created_unix_ms: created }) {
  const drivers = participants.length > 0 ? format.plural(participants.length, "driver") : "the drivers";
  return `target ${target}; ${drivers}; ${format.date(created)}`;
}

// What goes on, or why it ended.
function remark(search) {
  const { run, reason, unit } = search;
  if (reason) return `${reason}\n${about(search)}`;
  if (!run) return about(search);
  const again = run.again ? ", once more after the overload" : "";
  const attempt = run.attempt > 1 ? `, run ${run.attempt} of it` : "";
  return `Offers ${format.significant(run.rate)} ${unit}/s${attempt}${again}.\n${about(search)}`;
}

// By rate; what was offered once more stands in the table alone.
export function byRate(steps, below) {
  // What held in doubt and broke in the end counts as it went last.
  const counts = (step) => !step.again || (step.judged === "breached" && step.rate === below);
  const last = new Map(steps.filter(counts).map((step) => [step.rate, step]));
  return [...last.values()].sort((one, other) => one.rate - other.rate);
}

function drawCharts(times, rates, { steps, capacity }) {
  const points = byRate(steps, capacity.below);
  const xs = points.map((step) => step.rate);
  const span = [capacity.at_least, capacity.below];
  const column = (value) => points.map(value);
  const judged = (value) => {
    const of = (kind) => column((step) => (step.judged === kind ? value(step) : null));
    return Object.fromEntries(Object.keys(JUDGED).map((kind) => [kind, of(kind)]));
  };
  const p99 = (step) => step.response.p99_latency;
  const ok = (step) => step.ok_per_second;
  times.update(xs, { p50: column((step) => step.response.p50_latency), p99: column(p99), ...judged(p99) }, span);
  rates.update(xs, { offered: xs, ok: column(ok), ...judged(ok) }, span);
}

const verdicts = [
  { key: "holds", label: "holds", style: "c-green", points: true },
  { key: "breached", label: "breached", style: "c-red", points: true },
  { key: "limited", label: "limited", style: "c-orange", points: true },
];

const timesOptions = (linked) => ({
  title: "Response time over the rate",
  axis: rateAxis,
  format: format.latency,
  linked,
  log: true,
  lines: [
    { key: "p50", label: "p50", style: "c-grey" },
    { key: "p99", label: "p99", style: "c-blue" },
    ...verdicts,
  ],
});

const ratesOptions = (linked) => ({
  title: "Answered over the rate, ok/s",
  axis: rateAxis,
  format: format.compact,
  linked,
  log: true,
  lines: [
    { key: "offered", label: "offered", style: "c-grey dashed" },
    { key: "ok", label: "ok", style: "c-blue" },
    ...verdicts,
  ],
});

function stepsTable() {
  const body = h("tbody");
  const heads = ["Rate", "Judged", "ok/s", "p50", "p99", "Runs", "Remark"];
  const head = h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)));
  const create = (step) => {
    const runs = step.tests.map((id, at) => [
      at > 0 ? " " : "",
      h("a", { href: `#/test/${encodeURIComponent(id)}` }, id.split("-").pop()),
    ]);
    const kinds = ["number", "", "number", "number", "number", "", "remark"];
    const row = h("tr", {}, kinds.map((kind) => h("td", { class: kind })));
    row.children[1].append(parts.badge(step.judged));
    row.children[5].append(...runs.flat());
    return row;
  };
  const show = (row, step) => {
    const [rate, judged, ok, p50, p99, , remark] = row.children;
    setText(rate, `${format.significant(step.rate)}/s`);
    const { word, style } = JUDGED[step.judged];
    setText(judged.firstChild, word);
    setAttribute(judged.firstChild, "class", `badge ${style}`);
    setText(ok, format.compact(step.ok_per_second));
    setText(p50, format.latency(step.response.p50_latency));
    setText(p99, format.latency(step.response.p99_latency));
    setText(remark, remarks(step));
    setAttributes(row, { "data-rate": step.rate, "data-judged": step.judged });
  };
  const table = h("table", {}, h("thead", {}, head), body);
  const label = "Steps of the search, in the order in which they were offered";
  const element = card("Steps", parts.scroll(label, table));
  const update = (steps) => keyed(body, steps, (_, at) => at, create, show);
  return { element, update };
}

function remarks(step) {
  const broken = step.thresholds.filter((one) => !one.pass).map((one) => one.threshold);
  const words = broken.length > 0 ? [`broke ${broken.join(", ")}`] : [];
  if (step.again) words.unshift("once more, after the overload");
  if (step.verdict.verdict !== "valid") words.push(step.verdict.verdict);
  return words.join("; ");
}
