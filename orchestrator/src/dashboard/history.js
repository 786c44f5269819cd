// All tests, with search: #/tests. Two of them can be marked and compared.

import { get, poll } from "./api.js";
import { card, h, keyed, setAttribute, setAttributes, setText } from "./dom.js";
import * as format from "./format.js";
import { scroll, setBadge } from "./parts.js";
import { hasEnded } from "./run.js";

const LIMIT = 200;

export async function getTests(search, limit = LIMIT) {
  const query = new URLSearchParams({ limit: String(limit) });
  if (search) query.set("search", search);
  return get(`/tests?${query}`);
}

const testLink = (id) => `#/test/${encodeURIComponent(id)}`;

function length({ state, started_unix_ms: started, ended_unix_ms: ended }) {
  if (!started) return format.NONE;
  if (!ended && hasEnded(state)) return format.NONE;
  return format.duration(Math.max(0, ((ended ?? Date.now()) - started) / 1000));
}

// A table of tests; with `marks`, each row can be marked: { has(id), set(id, on) }.
export function testsTable(label, marks) {
  const headings = [
    "Test",
    "Kind",
    "State",
    "Created",
    "Length",
    "Planned",
    "Nodes",
    "Target",
    "Remark",
  ];
  const numbers = ["Length", "Planned", "Nodes"];
  const head = h(
    "tr",
    {},
    marks ? h("th", { scope: "col" }, h("span", { class: "spoken" }, "Mark")) : null,
    headings.map((text) =>
      h("th", { scope: "col", class: numbers.includes(text) ? "number" : "" }, text),
    ),
  );
  const body = h("tbody");
  const create = (test) => row(test, marks);
  const table = h("table", { class: "tests" }, h("thead", {}, head), body);
  return {
    element: scroll(label, table),
    update: (tests) => keyed(body, tests, (test) => test.test_id, create, showRow),
  };
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
  return h(
    "tr",
    { "data-test-id": test.test_id },
    marks ? h("td", {}, box()) : null,
    h("th", { scope: "row" }, link),
    h("td"),
    h("td", {}, h("span")),
    h("td"),
    h("td", { class: "number" }),
    h("td", { class: "number" }),
    h("td", { class: "number" }),
    h("td", { class: "target" }),
    h("td", { class: "remark" }),
  );
}

function showRow(tr, test) {
  const cells = [...tr.children].slice(-8);
  setAttributes(tr, { "data-state": test.state });
  setText(cells[0], test.test_type.toLowerCase());
  setBadge(cells[1].firstChild, test.queued && !hasEnded(test.state) ? "queued" : test.state);
  setText(cells[2], format.date(test.created_unix_ms));
  setText(cells[3], length(test));
  setText(cells[4], format.count(test.planned));
  setText(cells[5], format.count(test.nodes));
  setText(cells[6], test.target ?? "");
  setAttribute(cells[6], "title", test.target);
  setText(cells[7], test.reason ?? "");
}

export function historyView(root) {
  let search = "";
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
  // A marked test that a search hides and shows again is still marked.
  const table = testsTable("Tests", { has: (id) => marked.has(id), set: mark });
  const note = h("p", { class: "note", role: "status" });
  const input = h("input", {
    type: "search",
    id: "search",
    placeholder: "id, kind, state, target",
  });
  const form = h(
    "form",
    { role: "search", class: "search" },
    h("label", { for: "search" }, "Search"),
    input,
    compare,
  );
  root.append(h("h1", {}, "History"), card("Tests", form, table.element, note));
  const loop = poll(async () => {
    const asked = search;
    const tests = await getTests(asked);
    table.update(tests);
    const more = tests.length === LIMIT ? " (the newest; search for more)" : "";
    setText(
      note,
      tests.length === 0 ? "No test matches." : format.plural(tests.length, "test") + more,
    );
    return asked === search ? 2000 : 0;
  });
  input.addEventListener("input", () => {
    search = input.value.trim();
    loop.now();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  return loop;
}
