// What is going on: the running test, the drivers, the newest tests.

import { poll } from "./api.js";
import { card, h } from "./dom.js";
import { getTests, testsTable } from "./history.js";
import { allNodes, getDrivers } from "./nodes.js";
import { hasEnded, isLoading } from "./run.js";

const NEWEST = 10;

const isQueued = (test) => Boolean(test.queued) && !hasEnded(test.state);

export function overviewView(root) {
  const running = testsTable("Tests that have not ended");
  const newest = testsTable("Newest tests");
  const nodes = allNodes();
  const active = card("Now", running.element);
  const waiting = testsTable("Tests that wait for their trigger");
  const ready = card("Created, not started", waiting.element);
  const first = h(
    "p",
    { class: "note" },
    "No test yet. ",
    h("a", { href: "#/new" }, "Start the first."),
  );
  root.append(
    h("h1", {}, "Overview"),
    active,
    nodes.element,
    card("Newest tests", first, newest.element),
    ready,
  );
  return poll(async () => {
    const [tests, drivers] = await Promise.all([getTests({ limit: 100 }), getDrivers()]);
    // What was only created waits for somebody, and hides nothing that goes on.
    const open = tests.filter((test) => isLoading(test.state) || isQueued(test));
    const created = tests.filter((test) => !hasEnded(test.state) && !open.includes(test));
    const ended = tests.filter((test) => hasEnded(test.state)).slice(0, NEWEST);
    running.update(open);
    newest.update(ended);
    waiting.update(created.slice(0, NEWEST));
    ready.hidden = created.length === 0;
    active.hidden = open.length === 0;
    first.hidden = tests.length > 0;
    newest.element.hidden = ended.length === 0;
    nodes.update(drivers);
    return 1000;
  });
}
