// Sets of runs of one document: #/repeats lists them, #/repeats/<id> shows one, live or over.

import { get, poll } from "./api.js";
import { about, followed, headOf } from "./capacity.js";
import { card, h, keyed, setAttribute, setAttributes, setText } from "./dom.js";
import * as format from "./format.js";
import { badge, scroll, setBadge } from "./parts.js";
import { setLink } from "./run.js";

const STYLES = { good: "pass", breached: "fail" };

export function repeatsView(root, [testId]) {
  return testId ? followed(root, "repeats", testId, build(testId)) : listView(root);
}

function listView(root) {
  const table = tableOf(["Set", "State", "Runs", "Created", "Target"], "Sets of runs", (row, set) => {
    const [link, state, runs, created, target] = row.children;
    if (!link.firstChild) link.append(h("a", { href: setLink(set.test_id) }, set.name ?? set.test_id));
    if (!state.firstChild) state.append(badge(set.state));
    setBadge(state.firstChild, set.state);
    setText(runs, `${set.runs_done} of ${set.asked}`);
    setText(created, format.date(set.created_unix_ms));
    setText(target, set.target);
  });
  const none = h("p", { class: "note" }, "No set yet: ", h("code", {}, "client run FILE --repeat 5"), " begins one.");
  root.append(h("h1", {}, "Sets of runs"), card("Sets", none, table.element));
  return poll(async () => {
    const sets = await get("/repeats");
    table.update(sets, (set) => set.test_id);
    none.hidden = sets.length > 0;
    table.element.hidden = sets.length === 0;
    return 1_000;
  });
}

function tableOf(heads, label, show) {
  const body = h("tbody");
  const head = h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)));
  const create = () => h("tr", {}, heads.map(() => h("td")));
  const element = scroll(label, h("table", {}, h("thead", {}, head), body));
  return { element, update: (items, keyOf) => keyed(body, items, keyOf, create, show) };
}

function build(testId) {
  const head = headOf("set of runs", testId, remark);
  const runs = tableOf(["Run", "Stands", "ok/s", "Errors", "p50", "p99", "Remark"], "Runs", showRun);
  const spread = tableOf(["Figure", "Median", "Min", "Max", "Spread"], "Spread", showSpread);
  const [made, apart] = [card("Runs", runs.element), card("Spread of the runs that count", spread.element)];
  const attributes = { id: "set", "data-test-id": testId };
  const element = h("article", attributes, head.element, apart, made);
  function update(set) {
    runs.update(set.runs, (run) => run.run);
    spread.update(set.spread, (one) => one.quantity);
    apart.hidden = set.spread.length === 0;
    setAttributes(element, { "data-state": set.state, "data-runs": set.runs.length });
  }
  return { element, head, update, stop() {} };
}

function remark(set) {
  const counted = set.runs.filter((run) => run.counted).length;
  const words = `${counted} of ${format.plural(set.asked, "run")} counted, ${set.rest_s} s of rest between them`;
  const goes = set.reason ?? (set.run ? `Run ${set.runs.length + 1} goes on.` : "");
  return [goes, words, about(set)].filter(Boolean).join("\n");
}

function shown(quantity, value) {
  if (quantity === "requests_per_second") return format.compact(value);
  return quantity === "error_rate" ? format.percent(value, 3) : format.latency(value);
}

function showRun(row, run) {
  const [link, stands, ...rest] = row.children;
  const words = h("a", { href: `#/test/${encodeURIComponent(run.test_id)}` }, String(run.run));
  if (!link.firstChild) link.append(run.test_id ? words : String(run.run));
  // A good one may be doubted.
  const word = run.standing === "good" && run.verdict === "suspect" ? "suspect" : run.standing;
  if (!stands.firstChild) stands.append(badge(word));
  setAttribute(stands.firstChild, "class", `badge ${STYLES[word] ?? "suspect"}`);
  const figures = ["requests_per_second", "error_rate", "p50_latency", "p99_latency"];
  figures.forEach((figure, at) => setText(rest[at], shown(figure, run[figure])));
  const apart = run.counted ? [] : ["not counted"];
  setText(rest[4], [...apart, ...run.reasons].join("; "));
  setAttributes(row, { "data-run": run.run, "data-counted": String(run.counted) });
}

// "service_p99_latency" is the p99 of the service time.
function nameOf(quantity) {
  if (quantity === "requests_per_second") return "ok/s";
  if (quantity === "error_rate") return "errors";
  const name = quantity.replace("_latency", "").replace("p99_9", "p99.9");
  return name.startsWith("service_") ? name.replace("_", " ") : `response ${name}`;
}

function showSpread(row, { quantity, median, min, max, relative_spread: spread }) {
  const values = [median, min, max].map((value) => shown(quantity, value));
  const texts = [nameOf(quantity), ...values, format.percent(spread)];
  texts.forEach((text, at) => setText(row.children[at], text));
  setAttribute(row, "data-quantity", quantity);
}
