// The frame of the page: which view is shown, whether the orchestrator answers, the theme.

import { get, onLink, poll } from "./api.js";
import { assert, h, setAttribute, setText } from "./dom.js";
import * as format from "./format.js";

// Of each view its heading until it is there, and what brings it:
// view: (root, segments of the path, query) => { stop() }
const UNKNOWN = "unknown";
const VIEWS = {
  overview: ["Overview", async () => (await import("./overview.js")).overviewView],
  new: ["New test", async () => (await import("./form.js")).formView],
  test: ["Test", async () => (await import("./test.js")).testView],
  tests: ["History", async () => (await import("./history.js")).historyView],
  compare: ["Compare", async () => (await import("./compare.js")).compareView],
  capacity: ["Capacity", async () => (await import("./capacity.js")).capacityView],
  nodes: ["Nodes", async () => (await import("./nodes.js")).nodesView],
  repeats: ["Sets of runs", async () => (await import("./repeats.js")).repeatsView],
  trend: ["Trend", async () => (await import("./trend.js")).trendView],
  [UNKNOWN]: ["There is nothing here", async () => unknownView],
};
const THEMES = ["auto", "light", "dark"];
const main = document.getElementById("content");
let current = null;

// "#/test/abc?x=1" -> ["test", ["abc"], query]
function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...segments] = path.split("/").filter(Boolean).map(decoded);
  return [name ?? "overview", segments, new URLSearchParams(query ?? "")];
}

// An address that was mistyped, or is of another version.
function unknownView(root) {
  root.append(
    h("h1", {}, "There is nothing here"),
    h("p", {}, h("code", {}, location.hash), " is none of the views of this page."),
    h("p", {}, h("a", { href: "#/" }, "To the overview")),
  );
  return { stop() {} };
}

function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

// Goes to the view that the address names. It is loaded when it is first asked for, so that a slow
// line brings the first one soon.
async function show() {
  const [name, segments, query] = route();
  const known = Object.hasOwn(VIEWS, name) ? name : UNKNOWN;
  const [heading, load] = VIEWS[known];
  current?.stop();
  const loading = { stop() {} };
  current = loading;
  setAttribute(main, "aria-busy", "true");
  main.replaceChildren(h("h1", {}, heading));
  document.title = `${known} · dlts`;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    setAttribute(link, "aria-current", link.dataset.view === known ? "page" : null);
  }
  scrollTo(0, 0);
  const view = await load().catch(() => notLoadedView);
  // Another address may have been gone to meanwhile.
  if (current !== loading) return;
  setAttribute(main, "aria-busy", null);
  main.replaceChildren();
  current = view(main, segments, query);
  assert(typeof current.stop === "function", "a view can be stopped");
}

// The other views, so that they are there when the orchestrator is not.
function loadOthers() {
  const others = Object.values(VIEWS).map(([, load]) => load());
  // One that does not come is asked for again when it is gone to.
  return Promise.allSettled(others);
}

function notLoadedView(root) {
  const reload = h("button", { type: "button", on: { click: () => location.reload() } }, "Load the page again");
  const words = "This view could not be loaded: the orchestrator is away, or has another version now.";
  root.append(h("h1", {}, "Not loaded"), h("p", {}, words), h("p", {}, reload));
  return { stop() {} };
}

function showLink({ up, since }) {
  const link = document.getElementById("link");
  const outage = document.getElementById("outage");
  setAttribute(link, "data-link", up === null ? "unknown" : up ? "up" : "down");
  setText(link, up === null ? "connecting" : up ? "live" : "no answer");
  if (up === true && outage.hidden === false) reloadIfNew();
  outage.hidden = up !== false;
  document.body.classList.toggle("stale", up === false);
  if (up !== false) setText(outage, "");
  else {
    const time = format.date(since).split(" ")[1];
    setText(
      outage,
      `The orchestrator has not answered since ${time}. What you see is from then; ` +
        "the drivers go on without it. This page tries again each second.",
    );
  }
}

// Whether the broker answers the orchestrator.
function watchHealth() {
  poll(async () => {
    const health = await get("/healthz");
    const broker = health.broker.state;
    const link = document.getElementById("link");
    setAttribute(link, "data-broker", broker);
    setText(link, broker === "up" ? "live" : `broker ${broker}`);
    return 5000;
  });
}

// After a restart. Modules of an old version would miss what a new orchestrator says.
async function reloadIfNew() {
  const [script] = document.querySelectorAll('script[type="module"]');
  try {
    const page = await (await fetch("/", { cache: "no-store" })).text();
    if (!page.includes(script.getAttribute("src"))) location.reload();
  } catch {
    // Away again; the next return asks again.
  }
}

function setUpTheme() {
  const button = document.getElementById("theme");
  const showTheme = () =>
    setText(button, `Theme: ${document.documentElement.dataset.theme ?? "auto"}`);
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? "auto";
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    localStorage.setItem("dlts-theme", next);
    showTheme();
  });
  showTheme();
}

// The fragment names the view, so this link cannot be followed to one.
function setUpSkip() {
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
}

setUpTheme();
setUpSkip();
onLink(showLink);
window.addEventListener("hashchange", show);
show().then(loadOthers);
watchHealth();
