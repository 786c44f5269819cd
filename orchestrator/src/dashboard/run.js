// What the state, the configuration and the counts of a run mean, without any drawing.

import { count } from "./format.js";

const ENDED = ["done", "partial", "aborted", "failed"];
const LOADING = ["armed", "running", "draining"];

export const hasEnded = (state) => ENDED.includes(state);
export const isLoading = (state) => LOADING.includes(state);

export const STATE_WORDS = {
  created: "Created. The drivers are told of it.",
  queued: "Waits until the running test has ended, then starts by itself.",
  configured: "Ready to start: the drivers have opened their connections.",
  armed: "Armed: every driver waits for the common start.",
  running: "Running.",
  draining: "Everything is sent; waiting for the last answers.",
  done: "Done: every driver reported to the end.",
  partial: "Partial: a driver was lost; what it had reported is counted.",
  aborted: "Stopped before its end.",
  failed: "Failed.",
};

export const VERDICT_WORDS = {
  valid: "Nothing speaks against these numbers.",
  suspect: "Look at the reasons before you quote these numbers.",
  invalid: "These numbers say nothing about the target.",
};

export function errorsOf(result) {
  return Object.values(result.errors ?? {}).reduce((sum, count) => sum + count, 0);
}

// Requests whose fate is known, as a share of what was planned; by time where nothing is planned.
export function progress(result, params) {
  const { sent, shed, not_sent: notSent, planned, elapsed_s: elapsed } = result;
  // Results of the first edition have neither.
  const { returned = 0, refused = 0 } = result;
  const decided = sent - returned + shed + refused;
  if (hasEnded(result.state)) return planned > 0 ? decided / planned : 1;
  const byCount = planned > 0 && !timed(params) ? (decided + notSent) / planned : 0;
  const expected = expectedOf(result, params);
  const byTime = expected && timed(params) ? elapsed / expected : 0;
  return Math.min(1, Math.max(byCount, byTime));
}

// Seconds still to go, or null where nothing is known yet.
export function remainingSeconds(result, params) {
  if (!isLoading(result.state)) return null;
  const expected = expectedOf(result, params);
  if (expected !== null) return Math.max(0, expected - result.elapsed_s);
  const share = progress(result, params);
  return share > 0 ? (result.elapsed_s / share) * (1 - share) : null;
}

// What came of a test, as its row in a list shows it; null before its end.
export function outcomeOf({ state, outcome }) {
  if (!hasEnded(state) || !outcome) return null;
  const { verdict, breached, thresholds, error_rate: failed } = outcome;
  if (breached > 0) return { style: "fail", words: `${breached} of ${thresholds} breached` };
  if (verdict === "invalid") return { style: "invalid", words: "invalid" };
  if (failed > 0) return { style: failed < 0.01 ? "suspect" : "fail", words: "errors" };
  return { style: verdict, words: verdict };
}

const timed = (params) => Boolean(params.duration_s || params.stages);

const expectedOf = (result, params) =>
  expectedSeconds(params, result.test_type, Boolean(result.rate_changes?.length));

// How long the schedule is; null for a closed loop that is limited by its count.
function expectedSeconds(params, testType, isChanged) {
  const limits = [];
  if (params.duration_s) limits.push(Number(params.duration_s));
  if (params.stages) limits.push(stagesSeconds(params.stages));
  const requests = params.message_count_per_driver ?? params.requests;
  const perSecond = Number(params.rate);
  if (requests && perSecond > 0 && !isChanged) limits.push(requests / perSecond);
  else if (requests && testType === "TSUNAMI" && params.burst && !timed(params)) {
    const gap = params.test_message_delay ?? 0;
    limits.push((Math.ceil(requests / params.burst) - 1) * gap);
  }
  const known = limits.filter((limit) => Number.isFinite(limit));
  return known.length > 0 ? Math.min(...known) : null;
}

function stagesSeconds(stages) {
  const list = Array.isArray(stages) ? stages : String(stages).split(",");
  return list.reduce((sum, stage) => sum + durationSeconds(String(stage).split("@")[1] ?? ""), 0);
}

const UNIT_SECONDS = { ns: 1e-9, us: 1e-6, ms: 1e-3, s: 1, m: 60, min: 60, h: 3600 };

function durationSeconds(text) {
  const match = /^\s*([\d.]+)\s*([a-z]*)\s*$/.exec(text);
  return match ? Number(match[1]) * (UNIT_SECONDS[match[2] || "s"] ?? NaN) : NaN;
}

// Whether it may have a rate to change; what a document does now the orchestrator knows.
export const hasRate = ({ test_type: type, config }) =>
  config.document ? type === "TSUNAMI" : Boolean(config.rate || config.stages);

// A change of the rate while it ran, in a line.
export const changeInWords = ({ at_s: at, rate, by }) =>
  `From second ${at} on at ${rate}/s${by ? ` (${by})` : ""}.`;

// What kind of load it is, in a line.
export function loadInWords(test) {
  const params = test.config;
  if (params.document) return `sessions of a document, ${count(params.connections)} connections on each driver`;
  const parts = [shape(test.test_type, params)];
  if (params.connections) parts.push(`${count(params.connections)} connections`);
  if (params.pipeline > 1) parts.push(`pipeline ${params.pipeline}`);
  parts.push("on each driver");
  return parts.join(", ").replace(", on", " on");
}

function shape(testType, params) {
  const requests = params.message_count_per_driver || params.requests;
  const limits = [
    requests && `${count(requests)} requests`,
    params.duration_s && `${params.duration_s} s`,
  ];
  const limit = limits.filter(Boolean).join(" or ");
  if (params.stages) return `open loop in stages ${[params.stages].flat().join(" ")}`;
  if (params.rate) return `open loop at ${params.rate} requests/s, ${limit}`;
  if (testType === "AVALANCHE") return `closed loop, ${limit}`;
  const gap = params.test_message_delay ?? params.seconds;
  return `loads of ${params.burst ?? 1} every ${gap} s, ${limit}`;
}

// When the first second of the series began, ms since 1970; null as long as that is not known.
export function measuredFrom({ started_unix_ms: started, config }) {
  return started ? started + (config.warmup_s ?? 0) * 1000 : null;
}

export const setLink = (id) => `#/repeats/${encodeURIComponent(id)}`;

// The set that a test is a run of, if the orchestrator made it.
export function setOf({ test_id: id, tags }) {
  const set = tags?.repeat;
  return set && id.startsWith(`${set}-`) ? set : null;
}
