// The frame of the page: which view is shown, whether the orchestrator answers, the theme.

import { get, onLink, poll } from "./api.js";
import { assert, h, setAttribute, setText } from "./dom.js";
import { capacityView } from "./capacity.js";
import { compareView } from "./compare.js";
import { formView } from "./form.js";
import * as format from "./format.js";
import { historyView } from "./history.js";
import { nodesView } from "./nodes.js";
import { overviewView } from "./overview.js";
import { repeatsView } from "./repeats.js";
import { testView } from "./test.js";
import { trendView } from "./trend.js";

// view: (root, segments of the path, query) => { stop() }
const UNKNOWN = "unknown";
const VIEWS = {
  overview: overviewView,
  new: formView,
  test: testView,
  tests: historyView,
  compare: compareView,
  capacity: capacityView,
  nodes: nodesView,
  repeats: repeatsView,
  trend: trendView,
  [UNKNOWN]: unknownView,
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

function show() {
  const [name, segments, query] = route();
  const known = Object.hasOwn(VIEWS, name) ? name : UNKNOWN;
  current?.stop();
  main.replaceChildren();
  document.title = `${known} · dlts`;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    setAttribute(link, "aria-current", link.dataset.view === known ? "page" : null);
  }
  current = VIEWS[known](main, segments, query);
  assert(typeof current.stop === "function", "a view can be stopped");
  scrollTo(0, 0);
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
show();
watchHealth();
