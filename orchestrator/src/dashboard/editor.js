// The editor of documents: a test as YAML or JSON, in #/new. The orchestrator alone judges it: its words
// stand below the text, each with a way to its line.

import { ApiError, inWords, post, postUnasked } from "./api.js";
import { card, h, setAttribute, setText } from "./dom.js";
import * as format from "./format.js";
import { recall, remember } from "./memory.js";
import { setLink } from "./run.js";

// The text stays while one looks elsewhere, in this tab only.
const TEXT_KEY = "dlts-document";
const VALUES_KEY = "dlts-document-values";
// After the last keystroke.
const CHECK_AFTER_MS = 600;
// Lines above the one that is shown.
const LINES_ABOVE = 3;
const EXAMPLE = `name: two flows
# target: http://web/ for another server than the test server
flows:
  - name: look
    weight: 3
    steps:
      - GET /?size=1k
      - think: 5ms..20ms
  - name: talk
    steps:
      - {name: ping, GET: /ping, check: ['json $.message == "pong"'], extract: {word: json $.message}}
      - {name: echo, POST: "/?status=201", json: {said: $word, n: "$int(1,5)"}, ok: 201, repeat: 3}
load: {open: 20/s, for: 10s}
thresholds: [p99 < 250ms, step(ping).p99 < 100ms, check_rate >= 99.9%]
`;

// `onCreated(test id, what was told when it could not be started)` is called once a test is made.
export function editor(onCreated) {
  const it = build();
  it.onCreated = onCreated;
  it.text.value = recall(TEXT_KEY) ?? "";
  it.values.value = recall(VALUES_KEY) ?? "";
  it.element.addEventListener("input", () => changed(it));
  it.element.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(it, event.submitter?.value);
  });
  for (const event of ["keyup", "click", "select"]) {
    it.text.addEventListener(event, () => showPlace(it));
  }
  it.file.addEventListener("change", () => openFile(it));
  it.example.addEventListener("click", () => it.write(EXAMPLE));
  it.write = (text) => {
    it.kept.hidden = true;
    it.text.value = text;
    changed(it);
    it.text.focus();
    it.text.setSelectionRange(0, 0);
    showPlace(it);
  };
  changed(it);
  return {
    element: it.element,
    // Begins with the document of a test; what was being written is not taken away unasked.
    begin(text, testId) {
      const draft = it.text.value;
      if (draft.trim() === "" || draft === text) return it.write(text);
      const take = h("button", { type: "button", id: "document-replace" }, "Replace it");
      take.addEventListener("click", () => it.write(text));
      it.kept.replaceChildren(`This is a draft that was kept, not the document of ${testId}. `, take);
      it.kept.hidden = false;
    },
    isEmpty: () => it.text.value.trim() === "",
    stop: () => leaveChecks(it),
  };
}

function build() {
  const text = h("textarea", {
    id: "document",
    rows: "24",
    wrap: "off",
    spellcheck: "false",
    autocapitalize: "off",
    "aria-describedby": "document-note document-wrong",
  });
  const note = h(
    "small",
    { class: "note", id: "document-note" },
    "What stands under load is the total of all drivers. The schema is /document.schema.json.",
  );
  const place = h("output", { class: "note", for: "document" });
  const kept = h("p", { class: "note", role: "status", hidden: true });
  const file = h("input", { type: "file", id: "document-file", accept: ".yaml,.yml,.json" });
  const example = h("button", { type: "button", id: "document-example" }, "Insert an example");
  const values = h("textarea", {
    id: "document-values",
    rows: "2",
    spellcheck: "false",
    placeholder: "TARGET=http://web/",
    "aria-describedby": "document-values-note",
  });
  const queue = h("input", { type: "checkbox", id: "document-queue" });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const wrong = h("div", { id: "document-wrong", class: "wrong", "aria-live": "polite" });
  const right = h("div", { id: "document-right" });
  const sent = card("What it comes to", right);
  sent.hidden = true;
  const button = (value, words, style = "") =>
    h("button", { type: "submit", value: `document-${value}`, class: style }, words);
  const buttons = [
    button("start", "Create and start", "primary"),
    button("create", "Create only"),
    button("check", "Check"),
  ];
  const command = h("code", { class: "command", "aria-label": "The same with curl" });
  const element = h(
    "form",
    { id: "new-document", novalidate: true, autocomplete: "off" },
    card(
      "Document",
      h(
        "p",
        { class: "actions" },
        h("label", { for: "document-file" }, "Open a file"),
        file,
        example,
      ),
      kept,
      h("div", { class: "field" }, h("label", { for: "document" }, "YAML or JSON"), text, note, place),
      wrong,
      h(
        "div",
        { class: "field" },
        h("label", { for: "document-values" }, "Values for its $NAME"),
        values,
        h("small", { class: "note", id: "document-values-note" }, "one a line, NAME=value"),
      ),
      h(
        "p",
        { class: "truth" },
        queue,
        h("label", { for: "document-queue" }, "If another test is running, wait until it has ended"),
      ),
    ),
    sent,
    problem,
    h("p", { class: "actions" }, buttons),
    command,
  );
  return { element, text, place, kept, file, example, values, queue, problem, wrong, right, sent, buttons,
    command, timer: 0, asked: 0 };
}

// The values as parts of a query: NAME=value a line.
export function query(values) {
  const lines = values.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => {
    const [name, ...value] = line.split("=");
    return `var.${encodeURIComponent(name.trim())}=${encodeURIComponent(value.join("=").trim())}`;
  });
}

// What is wrong with the values, in words.
export function wrongValue(values) {
  const isWrong = (line) => line.trim() !== "" && line.indexOf("=") < 1;
  const at = values.split("\n").findIndex(isWrong);
  if (at < 0) return null;
  const line = values.split("\n")[at].trim();
  return `line ${at + 1} of the values, ${line}, has no name with a value: write NAME=value`;
}

function path(it, call, flags = []) {
  const parts = [...flags, ...query(it.values.value)];
  return parts.length > 0 ? `${call}?${parts.join("&")}` : call;
}

// What is asked of the orchestrator besides the text.
const flagsOf = (it, starts) =>
  [starts && "start=1", it.queue.checked && "queue=1"].filter(Boolean);

function changed(it) {
  remember(TEXT_KEY, it.text.value);
  remember(VALUES_KEY, it.values.value);
  it.example.disabled = it.text.value.trim() !== "";
  showPlace(it);
  const url = `${location.origin}${path(it, "/tests", flagsOf(it, true))}`;
  setText(it.command, `curl --data-binary @test.yaml '${url.replaceAll("'", "%27")}'`);
  leaveChecks(it);
  if (it.text.value.trim() === "") return showNothing(it);
  it.timer = setTimeout(() => check(it, false), CHECK_AFTER_MS);
}

// Asks whether the text is a test; an answer to an older text is nobody's any more.
async function check(it, byHand) {
  clearTimeout(it.timer);
  const asked = ++it.asked;
  const refused = wrongValue(it.values.value);
  if (refused) return showWrong(it, new Error(refused), byHand);
  const ask = byHand ? post : postUnasked;
  try {
    const told = await ask(path(it, "/tests/check"), it.text.value);
    if (asked === it.asked) showRight(it, told);
  } catch (error) {
    if (asked !== it.asked) return;
    // The banner tells of an orchestrator that is away.
    if (error instanceof ApiError || byHand) showWrong(it, error, byHand);
  }
}

// What was asked is nobody's any more, and nothing more is asked.
function leaveChecks(it) {
  clearTimeout(it.timer);
  it.asked += 1;
}

async function submit(it, value) {
  if (value === "document-check") return check(it, true);
  leaveChecks(it);
  const refused = wrongValue(it.values.value);
  if (refused) return showWrong(it, new Error(refused), true);
  it.buttons.forEach((button) => setAttribute(button, "disabled", true));
  const starts = value !== "document-create";
  try {
    const made = await post(path(it, "/tests", flagsOf(it, starts)), it.text.value);
    if (made.repeat) location.hash = setLink(made.TestId);
    else it.onCreated(made.TestId);
  } catch (error) {
    // It is there, and could not be started: its page is the place to try again.
    if (error.told?.TestId) it.onCreated(error.told.TestId, inWords(error));
    else {
      // Nor may a check that began meanwhile take the place of what is told here.
      leaveChecks(it);
      showWrong(it, error, true);
    }
  } finally {
    it.buttons.forEach((button) => setAttribute(button, "disabled", false));
  }
}

async function openFile(it) {
  const [file] = it.file.files;
  if (!file) return;
  try {
    it.write(await file.text());
  } catch (error) {
    showWrong(it, error, true);
  }
  // The same file may be chosen again when it has changed.
  it.file.value = "";
}

function showNothing(it) {
  it.problem.hidden = true;
  it.sent.hidden = true;
  it.wrong.replaceChildren();
  setAttribute(it.text, "aria-invalid", null);
}

function showRight(it, told) {
  showNothing(it);
  it.sent.hidden = false;
  it.right.replaceChildren(h("ul", {}, linesOf(told).map((line) => h("li", {}, line))));
}

// What a document comes to, as it was told.
export function linesOf({ name, targets, flows, files, secrets, runs, sessions_planned: sessions }) {
  const weights = flows.reduce((sum, flow) => sum + flow.weight, 0);
  const share = ({ weight }) =>
    flows.length > 1 && weights > 0 ? `, ${format.percent(weight / weights, 0)} of the sessions` : "";
  const planned = sessions === null ? "as many sessions as come" : format.plural(sessions, "session");
  const times = runs > 1 ? `${runs} runs, each ` : "";
  const lines = [`${name}: ${times}${planned} at ${targets.join(", ")}`];
  for (const flow of flows) lines.push(`flow ${flow.name}${share(flow)}: ${flow.steps.join(" → ")}`);
  if (files.length > 0) lines.push(`files: ${files.join(", ")}`);
  if (secrets.length > 0) lines.push(`secrets that each driver has: ${secrets.join(", ")}`);
  return lines;
}

// All that is wrong, with a way to each place. Who pressed a button is taken to the first.
function showWrong(it, error, byHand) {
  showNothing(it);
  const errors = error.told?.errors ?? [];
  const first = errors.find(({ line }) => line > 0);
  if (!first && errors.length < 2) {
    it.problem.hidden = false;
    setText(it.problem, inWords(error));
    return;
  }
  setAttribute(it.text, "aria-invalid", "true");
  const rows = errors.map((wrong) => {
    const { line, column, path: part, error } = wrong;
    const words = `${part ? `${part}: ` : ""}${error}`;
    if (!(line > 0)) return h("li", {}, words);
    const go = () => goTo(it, wrong);
    const where = `line ${line}, column ${column}`;
    const link = h("button", { type: "button", class: "place", "data-line": line, on: { click: go } }, where);
    return h("li", {}, link, ` ${words}`);
  });
  it.wrong.replaceChildren(h("ol", { "aria-label": "What is wrong" }, rows));
  if (byHand && first) goTo(it, first);
}

// Puts the caret to a place, with the rest of its line chosen.
function goTo(it, { line, column }) {
  const lines = it.text.value.split("\n");
  const at = Math.min(line, lines.length) - 1;
  const before = lines.slice(0, at).reduce((sum, one) => sum + one.length + 1, 0);
  // Columns are characters; a text of the browser has two units for some.
  const within = [...lines[at]].slice(0, column - 1).join("").length;
  it.text.focus();
  it.text.setSelectionRange(before + within, before + lines[at].length);
  it.text.scrollTop = (at - LINES_ABOVE) * (it.text.scrollHeight / lines.length);
  showPlace(it);
}

function showPlace(it) {
  const before = it.text.value.slice(0, it.text.selectionStart).split("\n");
  const column = [...before[before.length - 1]].length + 1;
  setText(it.place, `line ${before.length}, column ${column}`);
}
