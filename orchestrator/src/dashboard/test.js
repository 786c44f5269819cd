// The page of one test, live or over: #/test/<id>.

import { ApiError, Unreachable, get, getBlob, inWords, poll, post } from "./api.js";
import { TimeAxis, quantileAxis } from "./axis.js";
import { Chart } from "./chart.js";
import { download, h, setAttribute, setAttributes, setText } from "./dom.js";
import * as format from "./format.js";
import { heatMap } from "./heat.js";
import { byPart, linesOf } from "./lines.js";
import { forget, recall } from "./memory.js";
import { getNodes, testNodes } from "./nodes.js";
import { marksOf, notes } from "./notes.js";
import * as parts from "./parts.js";
import { standalone } from "./report.js";
import * as run from "./run.js";
import { Series } from "./series.js";
import { sessions } from "./sessions.js";
import { News, add, follow } from "./stream.js";
import { trendLink } from "./trend.js";

const EXPORTS = ["json", "csv", "hlog", "hgrm"];
const ENDED_MS = 5_000;
// The drivers' heartbeats.
const NODES_MS = 2_000;
// A stream that broke is tried again after this time; each attempt begins with what is new.
const AGAIN_MS = 1_000;
// A page that nobody sees asks now and then, for its title, and listens when it is seen again.
const HIDDEN_MS = 10_000;
const STALE_LOOK_MS = 250;
const REPORT_POINTS = 3600;
const ALL_NODES = "nodes_limit=1000000";

export function testView(root, [testId]) {
  const page = build(testId);
  root.append(page.element);
  tellEarlier(page, testId);
  const state = {
    testId,
    page,
    series: new Series(),
    news: new News(),
    test: null,
    result: null,
    nodes: null,
    state: null,
    fresh: false,
    settling: false,
    isOver: false,
    drawing: 0,
    stream: null,
    stopped: false,
  };
  const loop = poll(() => step(state));
  const drivers = poll(async () => {
    state.nodes = await getNodes();
    draw(state);
    return run.hasEnded(state.state) ? ENDED_MS : NODES_MS;
  });
  // A browser has few connections for all its pages of one origin: a stream that nobody looks at would
  // take one of them.
  const hide = () => {
    if (document.hidden) state.stream?.abort();
  };
  document.addEventListener("visibilitychange", hide);
  const clock = setInterval(() => noticeSilence(state), STALE_LOOK_MS);
  page.redraw = () => {
    state.fresh = true;
    draw(state);
  };
  page.onCommand = async (command) => {
    await perform(page, command, testId);
    loop.now();
  };
  page.onNote = async (text) => {
    const isNoted = await note(page, testId, text);
    loop.now();
    return isNoted;
  };
  return {
    stop() {
      state.stopped = true;
      loop.stop();
      drivers.stop();
      document.removeEventListener("visibilitychange", hide);
      clearInterval(clock);
      clearTimeout(state.drawing);
      state.stream?.abort();
      page.charts.forEach((chart) => chart.stop());
      page.heat.stop();
      page.by.stop();
    },
  };
}

// What the form was told when it tried to start the test that it had just created.
function tellEarlier(page, testId) {
  const told = recall(`dlts-problem-${testId}`);
  if (told === null) return;
  forget(`dlts-problem-${testId}`);
  page.header.problem.hidden = false;
  setText(page.header.problem, told);
}

// Loads what may be new, shows it, listens for as long as the stream goes on, and returns the ms
// until the next time. Without a stream these are the polls that the page lives on.
async function step(state) {
  const { testId, page, series } = state;
  const query = series.query(Date.now(), state.settling);
  const path = `/metrics/${encodeURIComponent(testId)}?${query.text}&${ALL_NODES}`;
  try {
    const [result, test] = await Promise.all([get(path), get(`/tests/${encodeURIComponent(testId)}`)]);
    state.test = test;
    state.result = result;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return missing(page, testId, error);
    throw error;
  }
  series.absorb(query, state.result.series, Date.now());
  state.fresh = true;
  // The seconds are loaded once more as a whole when the run has ended.
  const ended = run.hasEnded(state.result.state);
  state.settling = ended && state.state !== state.result.state && !query.whole;
  draw(state);
  if (ended) return state.settling ? 0 : ENDED_MS;
  state.settling = !document.hidden && (await listenTo(state));
  if (state.settling) return 0;
  return document.hidden ? HIDDEN_MS : AGAIN_MS;
}

// Whether it was listened to until the end of the test.
async function listenTo(state) {
  const path = `/tests/${encodeURIComponent(state.testId)}/stream`;
  state.stream = new AbortController();
  if (state.stopped) return false;
  try {
    const from = state.series.next();
    await follow(`${path}?series_from=${from}`, state.stream, (event) => take(state, event));
  } catch (error) {
    // The next poll tells what is wrong, if anything is.
    if (!(error instanceof Unreachable || error instanceof ApiError)) throw error;
  }
  return state.isOver;
}

function take(state, { name, data }) {
  if (name === "detail") state.test = data;
  else if (name === "result") add(state.result, data);
  else if (name === "series") state.series.tell(data);
  else if (name === "end") state.isOver = true;
  state.fresh ||= name === "series" || name === "result";
  // What came together is drawn once.
  state.drawing ||= setTimeout(() => draw(state), 0);
  if (state.series.isLong()) state.stream.abort();
}

function draw(state) {
  clearTimeout(state.drawing);
  state.drawing = 0;
  const { page, test, result, nodes } = state;
  if (state.stopped || result === null || nodes === null) return;
  state.state = result.state;
  state.news.mark(result, result.state === "running", performance.now());
  page.update(test, result, nodes);
  if (state.fresh) drawCharts(page, result, state.series, test.config.warmup_s ?? 0);
  for (const chart of [...page.charts.slice(0, 4), page.heat.chart]) chart.mark(marksOf(test));
  state.fresh = false;
}

// What is not told any more is not shown as if it were.
function noticeSilence(state) {
  const { result } = state;
  if (result === null || document.hidden) return;
  if (state.news.mark(result, result.state === "running", performance.now())) draw(state);
}

function missing(page, testId, error) {
  page.element.replaceChildren(
    h("h1", {}, "No such test"),
    h("p", { class: "problem", role: "alert" }, `${testId}: ${error.message}`),
    h("p", {}, h("a", { href: "#/tests" }, "Look in the history")),
  );
  return 60_000;
}

function build(testId) {
  const header = head(testId);
  const linked = new Set();
  const axis = new TimeAxis();
  const by = byPart(testId, () => page.redraw());
  const rates = new Chart({ ...ratesOptions(axis, linked), choice: by.element, note: by.note });
  const times = new Chart(timesOptions(axis, linked));
  const [flight, bytes] = MORE.map((options) => new Chart({ axis, linked, ...options }));
  const curve = new Chart(curveOptions());
  const heat = heatMap(testId, axis, linked);
  const nodes = testNodes();
  const configuration = parts.configuration();
  const noted = notes((text) => page.onNote(text));
  const live = {
    tiles: parts.tiles(),
    progress: parts.progressBar(),
    verdict: parts.verdict(),
    outcomes: parts.outcomes(),
    sessions: sessions(),
    latency: parts.latencyTable(),
    accounting: parts.accounting(),
  };
  const grid = h(
    "div",
    { class: "grid" },
    rates.element,
    times.element,
    flight.element,
    bytes.element,
    curve.element,
    live.outcomes.element,
  );
  const element = h(
    "article",
    { id: "run", "data-test-id": testId },
    header.element,
    live.verdict.element,
    live.progress.element,
    live.tiles.element,
    grid,
    heat.element,
    noted.element,
    live.sessions.element,
    nodes.element,
    live.latency.element,
    live.accounting.element,
    configuration.element,
  );
  const page = { element, header, charts: [rates, times, flight, bytes, curve], heat, by, onCommand: null, latest: null };
  header.actions.forEach((button) =>
    button.addEventListener("click", () => page.onCommand(button.dataset.command)),
  );
  header.rate.addEventListener("submit", (event) => {
    event.preventDefault();
    page.onCommand(`rate ${header.rate.elements.rate.value}`);
  });
  page.update = (test, result, known) => {
    page.latest = { test, result };
    header.update(test, result);
    live.tiles.update(result);
    live.progress.update(result, test.config);
    for (const name of ["verdict", "outcomes", "sessions", "latency", "accounting"]) live[name].update(result);
    nodes.update(result, known, test.participants);
    noted.update(test);
    configuration.update(test);
    axis.startMs = run.measuredFrom(test);
    setAttributes(element, rawValues(result));
  };
  return page;
}

// Changes are told from the common start, the series from the end of the warm-up.
function drawCharts({ charts: [rates, times, flight, bytes, curve], heat, by }, result, series, warmUp) {
  const xs = series.seconds();
  const columns = (names) => Object.fromEntries(names.map((name) => [name, series.column(name)]));
  const changes = (result.rate_changes ?? []).map((change) => [
    change.at_s - warmUp,
    run.changeInWords(change),
  ]);
  const each = by.answer() && linesOf(by.answer(), series.end());
  const shown = each ?? { lines: RATES, xs, columns: columns(RATES.map(({ key }) => key)) };
  const isSame = ({ key }, at) => key === rates.options.lines[at]?.key;
  const { length } = rates.options.lines;
  if (shown.lines.length !== length || !shown.lines.every(isSame)) rates.relabel(shown.lines);
  rates.update(shown.xs, shown.columns, [], changes);
  for (const chart of [times, flight, bytes]) {
    const names = chart.options.lines.map(({ key }) => key);
    chart.update(xs, columns(names), [], changes);
    chart.element.hidden = chart !== times && !series.has(names[0]);
  }
  heat.tell(run.hasEnded(result.state), changes);
  by.tell(run.hasEnded(result.state), result.steps);
  const points = curvePoints(result);
  curve.update(
    points.map((point) => point.quantile),
    {
      response: points.map((point) => point.response_ms),
      service: points.map((point) => point.service_ms),
    },
  );
}

// Beyond 1 - 1/n a quantile of n samples says nothing more.
export function curvePoints(result) {
  const samples = Math.max(result.ok, 1);
  const points = result.curve.filter((point) => point.response_ms !== null);
  return points.filter(({ quantile }) => quantile >= 1 || 1 - quantile >= 0.5 / samples);
}

const RATES = [
  { key: "offered", label: "offered", style: "c-grey" },
  { key: "sent", label: "sent", style: "c-blue" },
  { key: "completed", label: "completed", style: "c-green" },
  { key: "errors", label: "errors", style: "c-red" },
];

const ratesOptions = (axis, linked) => ({
  title: "Requests per second",
  axis,
  format: format.compact,
  linked,
  lines: RATES,
});

const timesOptions = (axis, linked) => ({
  title: "Response time",
  axis,
  format: format.latency,
  linked,
  log: true,
  lines: [
    { key: "p50", label: "p50", style: "c-green" },
    { key: "p99", label: "p99", style: "c-blue" },
    { key: "p99_9", label: "p99.9", style: "c-purple" },
    { key: "max", label: "max", style: "c-orange" },
  ],
});

// Of drivers of earlier editions neither is known.
const MORE = [
  {
    title: "In flight at the end of each second",
    format: format.compact,
    lines: [{ key: "in_flight", label: "in flight", style: "c-blue" }],
  },
  {
    title: "Bytes per second",
    format: format.bytes,
    lines: [
      { key: "bytes_sent", label: "sent", style: "c-blue" },
      { key: "bytes_received", label: "received", style: "c-green" },
    ],
  },
];

const curveOptions = () => ({
  title: "Percentiles: response and service time",
  axis: quantileAxis,
  format: format.latency,
  log: true,
  band: ["response", "service"],
  lines: [
    { key: "response", label: "response", style: "c-blue" },
    { key: "service", label: "service", style: "c-orange dashed" },
  ],
});

// Raw values for tests, and for people who script.
function rawValues(result) {
  const values = { "data-state": result.state, "data-test-type": result.test_type };
  for (const name of [
    "planned",
    "offered",
    "sent",
    "completed",
    "ok",
    "shed",
    "not_sent",
    "aborted",
  ]) {
    values[`data-${name.replace("_", "-")}`] = result[name];
  }
  for (const figure of ["min", "mean", "p50", "p99", "p99_9", "max"]) {
    values[`data-${figure.replace("_", "-")}-ms`] = result.metrics[`${figure}_latency`];
  }
  values["data-errors"] = run.errorsOf(result);
  values["data-requests-per-second"] = result.requests_per_second;
  values["data-elapsed-s"] = result.elapsed_s;
  values["data-verdict"] = result.verdict.verdict;
  return values;
}

function head(testId) {
  const kind = h("span", { class: "kind" });
  const name = h("span", { class: "name" });
  const badge = parts.badge("unknown");
  const note = h("p", { class: "note" });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const again = h(
    "a",
    { class: "button", href: `#/new?from=${encodeURIComponent(testId)}` },
    "Run again",
  );
  const compare = h(
    "a",
    { class: "button", href: `#/compare/${encodeURIComponent(testId)}` },
    "Compare",
  );
  const trend = h("a", { class: "button", "data-link": "trend" }, "Trend");
  const ofSet = h("a", { class: "button", "data-link": "set", hidden: true }, "Its set");
  const command = (name, text, style = "") =>
    h("button", { type: "button", class: style, "data-command": name }, text);
  const trigger = command("trigger", "Trigger", "primary");
  const stop = command("stop", "Stop", "danger");
  const rate = h(
    "form",
    { class: "rate", hidden: true },
    h("input", { name: "rate", required: true, size: 8, placeholder: "500/s", "aria-label": "Rate" }),
    h("button", {}, "Change rate"),
  );
  const exports = EXPORTS.map((name) => command(`export ${name}`, name));
  const report = command("report", "report");
  const downloads = h(
    "span",
    { class: "choice", role: "group", "aria-label": "Download" },
    h("span", { class: "label" }, "Download"),
    exports,
    report,
  );
  const title = h("div", { class: "title" }, h("h1", {}, h("code", {}, testId)), name, kind, badge);
  const buttons = h(
    "div",
    { class: "actions", "data-live": true },
    trigger,
    stop,
    rate,
    again,
    compare,
    trend,
    ofSet,
    downloads,
  );
  const element = h("header", { class: "head" }, title, buttons, note, problem);
  function update(test, result) {
    setText(kind, result.test_type.toLowerCase());
    const queued = test.queued && !run.isLoading(result.state) && !run.hasEnded(result.state);
    const shown = queued ? "queued" : result.state;
    const words = run.STATE_WORDS[shown] ?? shown;
    parts.setBadge(badge, shown);
    // What ended is not green for that: the verdict says what to think of it.
    if (run.hasEnded(result.state)) setAttribute(badge, "class", "badge");
    const reason = test.reason ? ` ${test.reason}` : "";
    const since = format.date(test.started_unix_ms ?? test.created_unix_ms);
    const target = test.config.target ?? "the test server";
    setText(name, test.name ?? "");
    trend.hidden = !test.name;
    setAttribute(trend, "href", trendLink(test.name ?? ""));
    const set = run.setOf(test);
    ofSet.hidden = !set;
    setAttribute(ofSet, "href", run.setLink(set));
    const changes = (test.rate_changes ?? []).map((change) => `\n${run.changeInWords(change)}`);
    const load = `${run.loadInWords(test)}; target ${target}; ${since}`;
    setText(note, `${words}${reason}\n${load}${changes.join("")}`);
    rate.hidden = result.state !== "running" || !run.hasRate(test);
    trigger.hidden = queued || run.hasEnded(result.state) || run.isLoading(result.state);
    stop.hidden = run.hasEnded(result.state);
    document.title = `${result.state} · ${testId} · dlts`;
  }
  return { element, update, actions: [trigger, stop, ...exports, report], rate, problem };
}

async function perform(page, command, testId) {
  const { problem } = page.header;
  problem.hidden = true;
  const id = encodeURIComponent(testId);
  try {
    if (command === "trigger" || command === "stop") await post(`/${command}/${id}`);
    else if (command === "trigger queue") await post(`/trigger/${id}?queue=1`);
    else if (command.startsWith("rate ")) {
      await post(`/tests/${id}/rate`, { rate: command.slice(5), by: "page" });
      page.header.rate.reset();
    } else if (command === "report") await saveReport(page, testId);
    else await saveExport(id, testId, command.split(" ")[1]);
  } catch (error) {
    problem.hidden = false;
    problem.replaceChildren(inWords(error), ...remedies(page, error));
  }
}

// Whether it could be written.
async function note(page, testId, text) {
  const { problem } = page.header;
  problem.hidden = true;
  try {
    await post(`/tests/${encodeURIComponent(testId)}/notes`, { text });
    return true;
  } catch (error) {
    if (!(error instanceof ApiError || error instanceof Unreachable)) throw error;
    problem.hidden = false;
    setText(problem, inWords(error));
    return false;
  }
}

// The drivers are busy with another test: go there, or wait for its end.
function remedies(page, error) {
  const running = error.told?.running_test_id;
  if (!running) return [];
  const queue = () => page.onCommand("trigger queue");
  return [
    " ",
    h("a", { href: `#/test/${encodeURIComponent(running)}` }, "Show the running test"),
    " ",
    h("button", { type: "button", on: { click: queue } }, "Start when it has ended"),
  ];
}

async function saveExport(id, testId, name) {
  const blob = await getBlob(`/tests/${id}/export?format=${name}`);
  download(`${testId}.${name}`, blob.type, blob);
}

async function saveReport(page, testId) {
  if (page.latest === null) return;
  await page.heat.load();
  [...page.charts, page.heat.chart].forEach((chart) => chart.draw());
  // The page holds only the newest seconds of the raw series.
  const result = await get(`/metrics/${encodeURIComponent(testId)}?points=${REPORT_POINTS}&${ALL_NODES}`);
  const text = await standalone(page.element, { test: page.latest.test, result });
  download(`${testId}.html`, "text/html", text);
}
