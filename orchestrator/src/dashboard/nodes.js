// The drivers: a row each, as part of a test and on a page of their own.

import { get, poll } from "./api.js";
import { card, h, keyed, setAttribute, setAttributes, setText } from "./dom.js";
import * as format from "./format.js";
import { scroll, setBadge } from "./parts.js";

const ms = (field) => (node) => format.significant(node.part?.metrics?.[field]);
const foreign = (field) => (node) => {
  const merged = node.part?.metrics?.[field];
  return format.significant(merged ?? node.part?.foreign?.[field]);
};

// [heading, text of a row, class, raw value as data attribute]
const PART_COLUMNS = [
  ["Sent", (n) => format.count(n.part?.sent), "number", ["data-sent", (n) => n.part?.sent]],
  ["OK", (n) => format.count(n.part?.ok), "number", ["data-ok", (n) => n.part?.ok]],
  ["Rate/s", (n) => format.count(rate(n.part)), "number", ["data-rate", (n) => rate(n.part)]],
  ["Min", foreign("min_latency"), "number", null],
  ["Mean", foreign("mean_latency"), "number", null],
  ["Median", foreign("median_latency"), "number", null],
  ["Mode", foreign("mode_latency"), "number", null],
  ["Max", foreign("max_latency"), "number", null],
  ["p99", ms("p99_latency"), "number", ["data-p99-ms", (n) => n.part?.metrics?.p99_latency]],
  ["Protocol", (n) => protocol(n.part), "", ["data-protocol", (n) => n.part?.http]],
  ["Machine", (n) => machine(n.part), "", ["data-kernel", (n) => n.part?.environment?.kernel]],
  ["Lag p99", (n) => format.significant(n.part?.release_lag?.p99_latency), "number", null],
];

// Of a driver that says nothing for a while it is not known.
const rate = (part) => (part?.stale ? undefined : part?.rate);

// What was spoken, known when a node has ended; of several servers each under its name.
function protocol(part) {
  const several = part?.servers ?? [];
  if (several.length === 0) return spoken(part);
  return several.map((server) => `${server.server}: ${spoken(server)}`).join("; ");
}

// HTTP/2, TLS 1.3, shop.example until 2027-05-01
function spoken(of) {
  if (!of?.http) return format.NONE;
  const { http, tls } = of;
  const words = [`HTTP/${http}`];
  if (tls) words.push(tls.version);
  if (tls?.certificate) {
    const { subject, not_after_unix_s: end } = tls.certificate;
    words.push(`${subject} until ${format.date(end * 1000).split(" ")[0]}`);
  }
  if (tls?.insecure) words.push("not checked");
  return words.join(", ");
}

// What it ran on, known when a node has ended; nothing of what the node does not know.
function machine(part) {
  const on = part?.environment;
  if (!on) return format.NONE;
  const words = [on.hostname, on.processor];
  if (on.virtual_machine) words.push("virtual machine");
  if (on.cpus) words.push(on.cpus === 1 ? "1 CPU" : `${on.cpus} CPUs`);
  if (on.governor) words.push(`governor ${on.governor}`);
  if (on.cpu_quota) words.push(`limited to ${on.cpu_quota} CPUs`);
  if (on.link_mbit_per_s) words.push(`${on.interface} of ${on.link_mbit_per_s} Mbit/s`);
  if (on.kernel) words.push(`Linux ${on.kernel}`);
  return words.filter(Boolean).join(", ");
}

const age = (node) => (node.known ? format.duration(node.known.heartbeat_age_s) : format.NONE);

const HEAD_COLUMNS = [
  ["Heartbeat", age, "number", ["data-heartbeat-age-s", (n) => n.known?.heartbeat_age_s]],
  ["Cores", (n) => format.count(n.known?.cores), "number", null],
];

const DETAIL_COLUMNS = [
  ["Address", (n) => n.known?.node_IP?.replace(/:0$/, "") ?? format.NONE, "", null],
  ["Host", (n) => n.known?.hostname ?? format.NONE, "", null],
  ["Version", (n) => n.known?.version ?? format.NONE, "", null],
  [
    "Doing",
    (n) => n.known?.activity ?? format.NONE,
    "",
    ["data-activity", (n) => n.known?.activity],
  ],
  ["Clock offset", (n) => offset(n.known), "number", null],
];

function offset(known) {
  if (typeof known?.clock_offset_ms !== "number") return format.NONE;
  const uncertainty = format.significant(known.clock_uncertainty_ms);
  return `${format.significant(known.clock_offset_ms)} ± ${uncertainty}\u202fms`;
}

function nodesTable(label, columns, withVerdict) {
  const heading = ([text, , style]) => h("th", { scope: "col", class: style }, text);
  const last = withVerdict ? [heading(["Verdict", null, ""])] : [];
  const head = h(
    "tr",
    {},
    heading(["Node", null, ""]),
    heading(["State", null, ""]),
    columns.map(heading),
    last,
  );
  const body = h("tbody");
  const create = () => {
    const cells = columns.map(([, , style]) => h("td", { class: style }));
    const end = withVerdict ? [h("td", {}, h("span"))] : [];
    return h("tr", {}, h("th", { scope: "row" }), h("td", {}, h("span")), cells, end);
  };
  const show = (row, node) => showRow(row, node, columns, withVerdict);
  return {
    element: scroll(label, h("table", { class: "nodes" }, h("thead", {}, head), body)),
    update: (nodes) => keyed(body, nodes, (node) => node.id, create, show),
  };
}

function showRow(row, node, columns, withVerdict) {
  setAttributes(row, { "data-node-id": node.id, "data-state": node.state });
  setText(row.children[0], node.id);
  setAttribute(row.children[0], "title", node.id);
  setBadge(row.children[1].firstChild, node.state);
  columns.forEach(([, text, , raw], at) => {
    setText(row.children[at + 2], text(node));
    if (raw) setAttribute(row, raw[0], raw[1](node));
  });
  if (withVerdict) showVerdict(row.lastChild.firstChild, node);
}

function showVerdict(span, { part }) {
  const text = part
    ? part.outcome && part.outcome !== "done"
      ? part.outcome
      : part.verdict.verdict
    : "waiting";
  setBadge(span, text);
  const why = [part?.reason, ...(part?.verdict?.reasons ?? [])].filter(Boolean);
  setAttribute(span, "title", why.join("\n") || null);
}

// Reports stop before heartbeats are missed.
const shownState = (state, part) => (state === "up" && part?.stale ? "silent" : state);

// The nodes of a test: those that report, those that were expected, with what is known of them.
export function testNodes() {
  const table = nodesTable("Nodes of this test", [...HEAD_COLUMNS, ...PART_COLUMNS], true);
  const note = h("p", { class: "note" }, "No node takes part yet.");
  const element = card("Nodes", table.element, note);
  function update(result, known, participants) {
    const byId = new Map(known.map((node) => [node.node_id, node]));
    const parts = new Map(result.nodes.map((part) => [part.node_id, part]));
    const ids = [...new Set([...participants, ...parts.keys()])].sort();
    const rows = ids.map((id) => ({
      id,
      part: parts.get(id),
      known: byId.get(id),
      state: shownState(byId.get(id)?.state ?? "unknown", parts.get(id)),
    }));
    table.update(rows);
    note.hidden = rows.length > 0;
    table.element.hidden = rows.length === 0;
  }
  return { element, update };
}

// The drivers that the orchestrator knows, with their heartbeats.
export function allNodes() {
  const table = nodesTable("Drivers", [...HEAD_COLUMNS, ...DETAIL_COLUMNS], false);
  const note = h("p", { class: "note" }, "No driver has registered. Start one:");
  const command = h("code", { class: "command" }, `driver --orchestrator ${location.host}`);
  const more = h("p", { class: "note", "data-role": "nodes-summary" });
  const element = card("Drivers", table.element, more, note, command);
  function update({ known, summary }) {
    more.hidden = summary === null;
    if (summary !== null) setText(more, inWords(known.length, summary));
    table.update(known.map((node) => ({ id: node.node_id, known: node, state: node.state })));
    note.hidden = known.length > 0;
    command.hidden = known.length > 0;
    table.element.hidden = known.length === 0;
  }
  return { element, update };
}

// A table of thousands of rows is read by nobody, and slow.
const SHOWN_MAX = 200;

// The first drivers, and all in numbers where there are more.
export async function getDrivers() {
  const known = await get(`/nodes?limit=${SHOWN_MAX}`);
  const summary = known.length < SHOWN_MAX ? null : await get("/nodes?summary=1");
  return { known, summary: summary?.nodes > SHOWN_MAX ? summary : null };
}

// The first 200 of 1,000 drivers: 997 up, 3 down; 4,000 cores
function inWords(shown, { nodes, states, cores_up: cores }) {
  const counts = Object.entries(states).map(([state, count]) => `${format.count(count)} ${state}`);
  const all = `${format.count(shown)} of ${format.count(nodes)} drivers`;
  return `The first ${all}: ${counts.join(", ")}; ${format.count(cores)} cores`;
}

export const getNodes = () => get("/nodes");

// Who merges what the drivers report; hidden where nobody was heard of.
export function allMergers() {
  const number = { scope: "col", class: "number" };
  const columns = ["Heard", "Partitions", "Lag"].map((name) => h("th", number, name));
  const head = h("tr", {}, h("th", { scope: "col" }, "Merger"), h("th", { scope: "col" }, "State"));
  head.append(...columns);
  const body = h("tbody");
  const create = () => {
    const cells = columns.map(() => h("td", { class: "number" }));
    return h("tr", {}, h("th", { scope: "row" }), h("td", {}, h("span")), cells);
  };
  const show = (row, merger) => {
    setAttributes(row, { "data-merger-id": merger.merger_id, "data-state": merger.state });
    setText(row.children[0], merger.merger_id);
    setBadge(row.children[1].firstChild, merger.state);
    setText(row.children[2], format.duration(merger.heard_age_s));
    setText(row.children[3], merger.partitions.join(", ") || format.NONE);
    setText(row.children[4], format.count(merger.lag_messages));
  };
  const table = h("table", { class: "nodes" }, h("thead", {}, head), body);
  const reasons = h("div");
  const element = card("Mergers", scroll("Mergers", table), reasons);
  element.hidden = true;
  const why = () => h("p", { class: "note" });
  function update(known) {
    element.hidden = known.mergers.length === 0;
    keyed(body, known.mergers, (merger) => merger.merger_id, create, show);
    keyed(reasons, known.reasons, (_, at) => at, why, setText);
  }
  return { element, update };
}

export function nodesView(root) {
  const nodes = allNodes();
  const mergers = allMergers();
  root.append(h("h1", {}, "Nodes"), nodes.element, mergers.element);
  return poll(async () => {
    nodes.update(await getDrivers());
    mergers.update((await get("/healthz")).mergers);
    return 1000;
  });
}
