// All tests, with search, by page: #/tests. Two of them can be marked and compared.

import { get, poll } from "./api.js";
import { card, h, keyed, setAttribute, setAttributes, setText } from "./dom.js";
import * as format from "./format.js";
import { scroll, setBadge } from "./parts.js";
import { hasEnded, outcomeOf, setLink, setOf } from "./run.js";

const PAGE = 100;

export async function getTests({ search = "", sort = "", offset = 0, limit = PAGE } = {}) {
  const query = new URLSearchParams({ limit: String(limit) });
  if (search) query.set("search", search);
  if (sort) query.set("sort", sort);
  if (offset > 0) query.set("offset", String(offset));
  return get(`/tests?${query}`);
}

const testLink = (id) => `#/test/${encodeURIComponent(id)}`;

function length({ state, started_unix_ms: started, ended_unix_ms: ended }) {
  if (!started) return format.NONE;
  if (!ended && hasEnded(state)) return format.NONE;
  return format.duration(Math.max(0, ((ended ?? Date.now()) - started) / 1000));
}

// Heading, what the API sorts by, whether it is a number, what a row shows.
const COLUMNS = [
  ["Kind", null, false, (test) => test.test_type.toLowerCase()],
  ["State", null, false, null],
  ["Result", null, false, null],
  ["ok/s", "ok_per_second", true, (test) => format.compact(test.outcome?.ok_per_second)],
  ["p50", "p50_ms", true, (test) => format.latency(test.outcome?.p50_ms)],
  ["p99", "p99_ms", true, (test) => format.latency(test.outcome?.p99_ms)],
  ["Errors", "error_rate", true, (test) => format.percent(test.outcome?.error_rate, 2)],
  ["Created", "created", false, (test) => format.date(test.created_unix_ms)],
  ["Length", null, true, length],
  ["Planned", null, true, (test) => format.count(test.planned)],
  ["Nodes", null, true, (test) => format.count(test.nodes)],
  ["Target", null, false, (test) => test.target ?? ""],
  ["Remark", null, false, (test) => test.reason ?? test.note ?? ""],
];
const STATE = COLUMNS.findIndex(([heading]) => heading === "State");
const RESULT = COLUMNS.findIndex(([heading]) => heading === "Result");
const STYLES = { Target: "target", Remark: "remark" };

// A table of tests; with `marks`, each row can be marked: { has(id), set(id, on) }; with `onSort`,
// it is told what to sort by.
export function testsTable(label, { marks, onSort } = {}) {
  const heads = COLUMNS.map((column) => heading(column, onSort));
  const head = h(
    "tr",
    {},
    marks ? h("th", { scope: "col" }, h("span", { class: "spoken" }, "Mark")) : null,
    h("th", { scope: "col" }, "Test"),
    heads,
  );
  const body = h("tbody");
  const create = (test) => row(test, marks);
  const table = h("table", { class: "tests" }, h("thead", {}, head), body);
  return {
    element: scroll(label, table),
    update(tests, sort = "") {
      keyed(body, tests, (test) => test.test_id, create, showRow);
      heads.forEach((th, at) => setAttribute(th, "aria-sort", order(COLUMNS[at][1], sort)));
    },
  };
}

function order(by, sort) {
  if (!by || !sort.endsWith(by)) return null;
  return sort.startsWith("-") ? "descending" : "ascending";
}

function heading([text, by, isNumber], onSort) {
  const press = () => onSort(by);
  const content = by && onSort ? h("button", { type: "button", on: { click: press } }, text) : text;
  return h("th", { scope: "col", class: isNumber ? "number" : "" }, content);
}

function row(test, marks) {
  const box = () =>
    h("input", {
      type: "checkbox",
      "aria-label": `Mark ${test.test_id} for comparison`,
      checked: marks.has(test.test_id),
      on: { change: (event) => marks.set(test.test_id, event.target.checked) },
    });
  const link = h("a", { href: testLink(test.test_id) }, h("code", {}, test.test_id));
  const set = setOf(test);
  const ofSet = set ? h("small", {}, h("a", { href: setLink(set) }, `repeat=${set}`)) : null;
  const cell = ([text, , isNumber, shown]) =>
    h("td", { class: isNumber ? "number" : STYLES[text] }, shown ? null : h("span"));
  return h(
    "tr",
    { "data-test-id": test.test_id },
    marks ? h("td", {}, box()) : null,
    h("th", { scope: "row" }, link, h("small"), ofSet),
    COLUMNS.map(cell),
  );
}

function showRow(tr, test) {
  const cells = [...tr.children].slice(-COLUMNS.length);
  const came = outcomeOf(test);
  setAttributes(tr, { "data-state": test.state, "data-outcome": came?.words });
  setText(tr.querySelector("small"), test.name ?? "");
  COLUMNS.forEach(([, , , shown], at) => {
    if (shown) setText(cells[at], shown(test));
  });
  setBadge(cells[STATE].firstChild, test.queued && !hasEnded(test.state) ? "queued" : test.state);
  // What ended well is not green for that: the numbers may say something else.
  if (came) setAttribute(cells[STATE].firstChild, "class", "badge");
  setText(cells[RESULT].firstChild, came?.words ?? "");
  setAttribute(cells[RESULT].firstChild, "class", came ? `badge ${came.style}` : null);
  setAttribute(cells[COLUMNS.length - 2], "title", test.target);
}

export function historyView(root) {
  const asked = { search: "", sort: "", offset: 0 };
  const marked = new Set();
  const compare = h("a", { class: "button", "aria-disabled": "true" }, "Compare two marked tests");
  const mark = (id, on) => {
    if (on) marked.add(id);
    else marked.delete(id);
    const two = marked.size === 2;
    const [base, test] = [...marked].map(encodeURIComponent);
    setAttribute(compare, "aria-disabled", two ? null : "true");
    setAttribute(compare, "href", two ? `#/compare/${base}/${test}` : null);
  };
  const ask = (change) => {
    Object.assign(asked, { offset: 0 }, change);
    loop.now();
  };
  // The best or the newest first, then the other way round.
  const sortBy = (by) => ask({ sort: asked.sort === `-${by}` ? by : `-${by}` });
  // A marked test that a search hides and shows again is still marked.
  const marks = { has: (id) => marked.has(id), set: mark };
  const table = testsTable("Tests", { marks, onSort: sortBy });
  const note = h("p", { class: "note", role: "status" });
  const turn = (by) => () => ask({ offset: Math.max(0, asked.offset + by) });
  const newer = h("button", { type: "button", on: { click: turn(-PAGE) } }, "Page before");
  const older = h("button", { type: "button", on: { click: turn(PAGE) } }, "Next page");
  const input = h("input", {
    type: "search",
    id: "search",
    placeholder: "id, name, tag, kind, state, target",
  });
  const form = h(
    "form",
    { role: "search", class: "search" },
    h("label", { for: "search" }, "Search"),
    input,
    compare,
  );
  const pages = h("p", { class: "actions" }, newer, older);
  root.append(h("h1", {}, "History"), card("Tests", form, table.element, note, pages));
  const loop = poll(async () => {
    const wanted = { ...asked };
    // One more than a page says whether there is another.
    const found = await getTests({ ...wanted, limit: PAGE + 1 });
    const tests = found.slice(0, PAGE);
    table.update(tests, wanted.sort);
    newer.disabled = wanted.offset === 0;
    older.disabled = found.length <= PAGE;
    pages.hidden = newer.disabled && older.disabled;
    const last = wanted.offset + tests.length;
    const words = pages.hidden
      ? format.plural(tests.length, "test")
      : `Tests ${format.count(wanted.offset + 1)} to ${format.count(last)}`;
    setText(note, tests.length === 0 ? "No test matches." : words);
    const isAnswered = Object.keys(asked).every((key) => asked[key] === wanted[key]);
    return isAnswered ? 2000 : 0;
  });
  input.addEventListener("input", () => ask({ search: input.value.trim() }));
  form.addEventListener("submit", (event) => event.preventDefault());
  return loop;
}
