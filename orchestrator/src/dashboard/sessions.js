// What becomes of the sessions of a document: by step and flow each second, their times, checks and
// data sets when the run has ended.

import { card, h, keyed, setAttributes, setText } from "./dom.js";
import * as format from "./format.js";
import { scroll } from "./parts.js";

const STEP_COLUMNS = [
  ["Sent", (step) => format.count(step.sent)],
  ["OK", (step) => format.count(step.ok)],
  ["Bad status", (step) => format.count(step.status)],
  ["Failed checks", (step) => format.count(step.failed)],
  ["No answer", (step) => format.count(step.lost)],
  ["OK/s", (step) => format.compact(step.requests_per_second)],
  ["p50", (step) => format.latency(step.response.p50_latency)],
  ["p99", (step) => format.latency(step.response.p99_latency)],
  ["max", (step) => format.latency(step.response.max_latency)],
];
const FLOW_COLUMNS = [
  ["Sessions", (flow) => format.count(flow.started)],
  ["Completed", (flow) => format.count(flow.completed)],
  ["Failed", (flow) => format.count(flow.failed)],
  ["Cut off", (flow) => format.count(flow.cut)],
  ["p50 session", (flow) => format.latency(flow.session.p50_latency)],
  ["p99 session", (flow) => format.latency(flow.session.p99_latency)],
];

// The checks of a step that did not always hold, and the values that it lacked.
function remarks(step) {
  const failed = step.checks.filter((check) => check.failed > 0);
  const words = failed.map(
    ({ check, held, failed: times }) =>
      `${format.count(times)} of ${format.count(held + times)} failed: ${check}`,
  );
  if (step.missing > 0) words.push(`${format.plural(step.missing, "value")} not found`);
  if (step.without_value > 0) words.push(`${format.count(step.without_value)} not sent for want of a value`);
  return words.join("; ");
}

function table(label, first, columns, keyOf, remarkOf) {
  const heading = (text, style = "") => h("th", { scope: "col", class: style }, text);
  const head = h(
    "tr",
    {},
    heading(first),
    columns.map(([text]) => heading(text, "number")),
    remarkOf ? heading("Remark") : null,
  );
  const body = h("tbody");
  const create = () =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }),
      columns.map(() => h("td", { class: "number" })),
      remarkOf ? h("td", { class: "remark" }) : null,
    );
  const show = (tr, row) => {
    const cells = [...tr.children];
    setText(cells[0], row.name);
    setAttributes(tr, { "data-name": row.name, "data-sent": row.sent });
    columns.forEach(([, text], at) => setText(cells[at + 1], text(row)));
    if (remarkOf) setText(cells[columns.length + 1], remarkOf(row));
  };
  return {
    element: scroll(label, h("table", {}, h("thead", {}, head), body)),
    update: (rows) => keyed(body, rows, keyOf, create, show),
  };
}

export function sessions() {
  // Steps of different flows may have one name.
  const at = (_, place) => place;
  const steps = table("Steps", "Step", STEP_COLUMNS, at, remarks);
  const flows = table("Flows", "Flow", FLOW_COLUMNS, at);
  const rows = h("p", { class: "note" });
  const element = card("Steps and flows", steps.element, flows.element, rows);
  element.hidden = true;
  function update(result) {
    element.hidden = !result.steps;
    if (!result.steps) return;
    steps.update(result.steps);
    flows.update(result.flows);
    setText(rows, result.data.map(ofRows).filter(Boolean).join("\n"));
  }
  return { element, update };
}

function ofRows({ name, used_up: missed, left }) {
  const words = [];
  if (missed > 0) words.push(`used up: ${format.plural(missed, "session")} did not start`);
  if (left > 0) words.push(`${format.plural(left, "row")} left over`);
  return words.length > 0 ? `${name}: ${words.join(", ")}` : "";
}
