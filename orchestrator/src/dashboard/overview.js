// What is going on: the running test, the drivers, the newest tests.

import { poll } from "./api.js";
import { card, h } from "./dom.js";
import { getTests, testsTable } from "./history.js";
import { allNodes, getNodes } from "./nodes.js";
import { hasEnded } from "./run.js";

const NEWEST = 10;

export function overviewView(root) {
  const running = testsTable("Tests that have not ended");
  const newest = testsTable("Newest tests");
  const nodes = allNodes();
  const active = card("Now", running.element);
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
  );
  return poll(async () => {
    const [tests, known] = await Promise.all([getTests("", 100), getNodes()]);
    const open = tests.filter((test) => !hasEnded(test.state));
    const ended = tests.filter((test) => hasEnded(test.state)).slice(0, NEWEST);
    running.update(open);
    newest.update(ended);
    active.hidden = open.length === 0;
    first.hidden = tests.length > 0;
    newest.element.hidden = ended.length === 0;
    nodes.update(known);
    return 1000;
  });
}
