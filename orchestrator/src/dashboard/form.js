// The form that creates tests: #/new, or #/new?from=<id> to run one again. The orchestrator alone
// judges the values; its words appear at the field that they name. A test that is a document has an
// editor of its own.

import { get, inWords, post } from "./api.js";
import { editor } from "./editor.js";
import { card, choice, h, setAttribute, setText } from "./dom.js";
import { indented } from "./format.js";
import { remember } from "./memory.js";

// name, label, unit or note, placeholder (the default), and how it looks
const GROUPS = [
  [
    "Load, for each driver",
    [
      ["seconds", "Gap between loads", "s, from start to start", "2", {}],
      ["burst", "Requests of one load", "sent at once", "100", {}],
      ["requests", "Requests", "in all", { AVALANCHE: "100000", TSUNAMI: "500" }, {}],
      ["connections", "Connections", "1 to 50000", "64", {}],
      ["duration_s", "Duration", "s; the load ends here if it has not before", "no limit", {}],
      [
        "rate",
        "Rate",
        "requests/s in an open loop; from:to is a ramp",
        "as fast as answers come",
        {},
      ],
      [
        "stages",
        "Stages",
        "rate@duration or from:to@duration, with commas",
        "100:1000@30s, 1000@60s",
        { wide: true },
      ],
    ],
  ],
  [
    "Request",
    [
      ["target", "Target", "URL", "the test server", { wide: true }],
      ["method", "Method", "GET, POST, PUT …", "GET", {}],
      ["headers", "Headers", "one a line, Name: value", "Accept: text/plain", { area: true }],
      ["body", "Body", "text", "", { area: true }],
    ],
  ],
  [
    "Limits and judgement",
    [
      ["timeout_ms", "Timeout", "ms, from the actual send", "30000", {}],
      ["deadline_ms", "Deadline", "ms, from the intended send; later it is shed", "none", {}],
      ["warmup_s", "Warm-up", "s, not counted", "0", {}],
      ["pipeline", "Pipeline", "requests in flight on a connection", "1", {}],
      ["threshold", "Thresholds", "with commas", "p99<250ms, error_rate<0.1%", { wide: true }],
    ],
  ],
];
const TRUTHS = [
  ["phase", "Shift the nodes' loads evenly over the gap"],
  ["queue", "If another test is running, wait until it has ended"],
];
const FIELDS = GROUPS.flatMap(([, fields]) => fields);

// Who wrote a document, or filled in the form, and looked elsewhere comes back to it.
let wasDocument = false;
let kept = null;

export function formView(root, _segments, query) {
  const comesBack = wasDocument;
  const form = build();
  root.append(h("h1", {}, "New test"), form.types, form.element, form.editor.element);
  const from = query.get("from");
  if (from) prefill(form, from);
  else if (kept !== null) {
    form.setType(kept.type);
    form.setValues(kept.values);
  }
  if (!from && comesBack && !form.editor.isEmpty()) form.setType("DOCUMENT");
  form.show();
  return {
    stop() {
      kept = form.isDone ? null : { type: form.kind, values: values(form) };
      form.editor.stop();
    },
  };
}

// As they were typed.
function values(form) {
  const entries = [...form.inputs].map(([name, { input }]) => [
    name,
    isTruth(name) ? input.checked : input.value,
  ]);
  return Object.fromEntries(entries);
}

// A test that could not be started is there all the same: its page is the place to try again.
function goTo(testId, problem) {
  if (problem) remember(`dlts-problem-${testId}`, problem);
  location.hash = `#/test/${encodeURIComponent(testId)}`;
}

async function prefill(form, testId) {
  try {
    const test = await get(`/tests/${encodeURIComponent(testId)}`);
    const params = test.config;
    if (params.document) {
      form.setType("DOCUMENT");
      form.editor.begin(indented(params.document), testId);
      return;
    }
    form.setType(test.test_type);
    form.setValues({
      ...params,
      requests: params.message_count_per_driver || params.requests,
      seconds: test.test_type === "TSUNAMI" ? params.test_message_delay : undefined,
    });
  } catch (error) {
    form.fail(error);
  }
}

function build() {
  const inputs = new Map();
  const groups = GROUPS.map(([title, fields]) =>
    card(
      title,
      h(
        "div",
        { class: "fields" },
        fields.map((field) => fieldOf(field, inputs)),
      ),
    ),
  );
  const truths = TRUTHS.map(([name, label]) => truthOf(name, label, inputs));
  groups[0].append(...truths);
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const command = h("code", { class: "command", "aria-label": "The same with curl" });
  const start = h(
    "button",
    { type: "submit", class: "primary", value: "start" },
    "Create and start",
  );
  const create = h("button", { type: "submit", value: "create" }, "Create only");
  const types = h("div", { class: "types" });
  const element = h(
    "form",
    { id: "new-test", novalidate: true, autocomplete: "off" },
    groups,
    problem,
    h("p", { class: "actions" }, start, create),
    command,
  );
  const form = { element, types, inputs, type: "AVALANCHE", problem, command, isDone: false };
  form.editor = editor(goTo);
  form.setType = (type) => {
    form.type = type;
    // The last that was no document.
    if (type !== "DOCUMENT") form.kind = type;
    wasDocument = type === "DOCUMENT";
    element.hidden = wasDocument;
    form.editor.element.hidden = !wasDocument;
    types.replaceChildren(typeChoice(form), h("p", { class: "note" }, TYPE_WORDS[type]));
    form.show();
  };
  form.setValues = (values) => setValues(form, values);
  form.show = () => show(form);
  form.fail = (error) => fail(form, error);
  form.setType(form.type);
  element.addEventListener("input", form.show);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(form, event.submitter?.value !== "create", [start, create]);
  });
  return form;
}

const TYPE_WORDS = {
  AVALANCHE: "Closed loop: each connection sends its next request as soon as the last is answered.",
  TSUNAMI: "Open loop: loads of requests leave at fixed times, whatever the answers do.",
  DOCUMENT: "Flows of steps, data, checks and stages of load, as YAML or JSON.",
};

function typeChoice(form) {
  const options = [
    ["AVALANCHE", "Avalanche"],
    ["TSUNAMI", "Tsunami"],
    ["DOCUMENT", "Document"],
  ];
  return choice("Kind of test", options, form.type, form.setType);
}

function fieldOf([name, label, note, , { area, wide }], inputs) {
  const tag = area ? "textarea" : "input";
  const error = h("small", { class: "error", id: `error-${name}` });
  const input = h(tag, {
    id: `field-${name}`,
    name,
    spellcheck: "false",
    "aria-describedby": `note-${name} error-${name}`,
  });
  inputs.set(name, { input, error });
  const caption = h("label", { for: `field-${name}` }, label);
  const explained = h("small", { class: "note", id: `note-${name}` }, note);
  const style = area || wide ? "field wide" : "field";
  return h("div", { class: style, "data-field": name }, caption, input, explained, error);
}

function truthOf(name, label, inputs) {
  const input = h("input", { type: "checkbox", id: `field-${name}`, name });
  const error = h("small", { class: "error", id: `error-${name}` });
  inputs.set(name, { input, error });
  return h(
    "p",
    { class: "truth", "data-field": name },
    input,
    h("label", { for: `field-${name}` }, label),
    error,
  );
}

const isTruth = (name) => TRUTHS.some(([truth]) => truth === name);

function setValues(form, values) {
  for (const [name, { input }] of form.inputs) {
    if (isTruth(name)) input.checked = values[name] === true;
    else input.value = asText(values[name]);
  }
  form.show();
}

function asText(value) {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value !== "object") return String(value);
  return Object.entries(value)
    .map(([name, text]) => `${name}: ${text}`)
    .join("\n");
}

// What belongs to this type, its defaults, and the same test with curl.
function show(form) {
  for (const name of form.inputs.keys()) {
    form.inputs.get(name).input.closest("[data-field]").hidden = !isOfUse(form, name);
  }
  for (const [name, , , placeholder] of FIELDS) {
    const { input } = form.inputs.get(name);
    setAttribute(input, "placeholder", placeholder[form.type] ?? placeholder);
  }
  const { path, body } = request(form);
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  setText(form.command, `curl -X POST ${location.origin}${path} -d '${quoted}'`);
}

// Rates and stages are an open loop of their own, without loads; in a closed loop nothing can be
// shifted.
function isOfUse(form, name) {
  const isGiven = (other) => form.inputs.get(other).input.value.trim() !== "";
  const isRated = isGiven("rate") || isGiven("stages");
  if (name === "burst" || name === "seconds") return form.type === "TSUNAMI" && !isRated;
  if (name === "phase") return form.type === "TSUNAMI" || isRated;
  return true;
}

// The call that creates what the form says.
function request(form) {
  const body = {};
  for (const [name] of FIELDS) {
    const text = form.inputs.get(name).input.value;
    if (text.trim() !== "" && isOfUse(form, name) && name !== "seconds") {
      body[name] = asValue(name, text);
    }
  }
  for (const [name] of TRUTHS) {
    if (form.inputs.get(name).input.checked && isOfUse(form, name)) body[name] = true;
  }
  const gap = isOfUse(form, "seconds") ? form.inputs.get("seconds").input.value.trim() : "";
  const seconds = gap || "2";
  const path = form.type === "AVALANCHE" ? "/avalanche" : `/tsunami/${encodeURIComponent(seconds)}`;
  return { path, body };
}

const TEXTS = ["target", "method", "headers", "body", "stages", "threshold"];

function asValue(name, text) {
  const trimmed = text.trim();
  if (TEXTS.includes(name)) return name === "body" ? text : trimmed;
  return /^-?\d+(\.\d+)?$/.test(trimmed) ? Number(trimmed) : trimmed;
}

async function submit(form, start, buttons) {
  clear(form);
  buttons.forEach((button) => setAttribute(button, "disabled", true));
  try {
    const { path, body } = request(form);
    const { TestId: testId } = await post(path, body);
    form.isDone = true;
    goTo(testId, start ? await trigger(testId) : null);
  } catch (error) {
    form.fail(error);
  } finally {
    buttons.forEach((button) => setAttribute(button, "disabled", false));
  }
}

// Starts a test; what was told if it cannot start.
async function trigger(testId) {
  try {
    await post(`/trigger/${encodeURIComponent(testId)}`);
    return null;
  } catch (error) {
    return inWords(error);
  }
}

function clear(form) {
  form.problem.hidden = true;
  for (const { input, error } of form.inputs.values()) {
    setAttribute(input, "aria-invalid", null);
    setText(error, "");
  }
}

// "connections: 0 is not within 1 to 50000" goes to the field connections. Of several each goes to
// its own, and the first gets the focus.
function fail(form, error) {
  const several = error.told?.errors ?? [];
  const wrong =
    several.length > 1
      ? several.map(({ at, error: words }) => [at, `${at}: ${words}`])
      : [[error.message.split(":")[0].trim(), inWords(error)]];
  const elsewhere = wrong.filter(([name, words]) => !tellAt(form, name, words));
  form.problem.hidden = elsewhere.length === 0;
  setText(form.problem, elsewhere.map(([, words]) => words).join("\n"));
  form.element.querySelector("[aria-invalid]")?.focus();
}

// Whether there is such a field.
function tellAt(form, name, words) {
  const field = form.inputs.get(name === "ramp" ? "rate" : name);
  if (!field) return false;
  setAttribute(field.input, "aria-invalid", "true");
  setText(field.error, words);
  return true;
}
