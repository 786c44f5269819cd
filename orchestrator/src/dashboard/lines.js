// The rates of a run by node, in place of those of all together. They are loaded only while they are
// chosen, and no more often than they may cost.

import { get, poll } from "./api.js";
import { choice, h, setAttribute, setText } from "./dom.js";
import { pace } from "./heat.js";
import { plural } from "./format.js";

const STYLES = ["blue", "green", "orange", "purple", "red", "blue dashed", "green dashed", "orange dashed"];

// An answer of the orchestrator as the lines of a chart: { lines, xs, columns }. `end` is the second
// after the last that the sending filled: what comes after it has no rate.
export function linesOf({ span_s: span, end_s, lines, others }, end) {
  const last = Math.min(end, end_s);
  const length = lines[0]?.counts.length ?? 0;
  const xs = Array.from({ length }, (_, at) => at * span).filter((x) => x < last);
  const rates = (counts, nodes = 1) =>
    xs.map((x, at) => counts[at] / nodes / Math.min(span, last - x));
  const shown = lines.map(({ node_id: id, counts }, at) => [id, id, `c-${STYLES[at]}`, rates(counts)]);
  // No node has an empty id.
  if (others) shown.push(["", "mean of the others", "c-grey", rates(others.counts, others.nodes)]);
  return {
    lines: shown.map(([key, label, style]) => ({ key, label, style })),
    xs,
    columns: Object.fromEntries(shown.map(([key, , , column]) => [key, column])),
  };
}

// Which nodes have a line, where not all do.
function inWords({ lines, others }, of) {
  if (!others) return "";
  const half = lines.length / 2;
  return (
    `Of ${lines.length + others.nodes} nodes the ${half} with most ${of} over the run and the ${half} with ` +
    `least; the other ${plural(others.nodes, "node")} as their mean.`
  );
}

// The choice; `onChange` is called whenever something else is to be drawn.
export function byNode(testId, onChange) {
  const state = { of: "ok", answer: null, loop: null, isOver: false, loaded: null };
  const note = h("p", { class: "note" });
  const chooseCount = (of) => {
    state.of = of;
    state.loop?.now();
  };
  const names = ["sent", "ok", "errors"];
  const counts = choice("Count by node", names.map((name) => [name, name]), state.of, chooseCount);
  counts.hidden = true;
  const chooseLines = (by) => {
    state.loop?.stop();
    state.loop = by === "node" ? poll(step) : null;
    counts.hidden = state.loop === null;
    Object.assign(state, { answer: null, loaded: null });
    show();
  };
  const both = [
    ["all", "all"],
    ["node", "by node"],
  ];
  const element = h("span", { class: "by" }, choice("Lines", both, "all", chooseLines), counts);

  function show() {
    setText(note, state.answer ? inWords(state.answer, state.answer.of) : "");
    setAttribute(element, "data-of", state.answer?.of);
    onChange();
  }

  const step = () =>
    pace(state, state.of, async () => {
      const { of } = state;
      const answer = await get(`/tests/${encodeURIComponent(testId)}/lines?of=${of}`);
      // Another one was chosen meanwhile.
      if (of !== state.of || state.loop === null) return 0;
      state.answer = answer;
      show();
      return JSON.stringify(answer).length;
    });
  return {
    element,
    note,
    // What was loaded last; null where all nodes are one.
    answer: () => state.answer,
    tell(isOver) {
      state.isOver = isOver;
    },
    stop: () => state.loop?.stop(),
  };
}
