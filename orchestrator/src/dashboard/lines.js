// The rates of a run by node or by step, in place of those of all together. They are loaded only while
// they are chosen, and no more often than they may cost.

import { get, poll } from "./api.js";
import { choice, h, setAttributes, setText } from "./dom.js";
import { pace } from "./heat.js";
import { plural } from "./format.js";

const STYLES = ["blue", "green", "orange", "purple", "red", "blue dashed", "green dashed", "orange dashed"];

// An answer of the orchestrator as the lines of a chart: { lines, xs, columns }. `end` is the second
// after the last that the sending filled: what comes after it has no rate.
export function linesOf({ span_s: span, end_s, lines, others }, end) {
  const last = Math.min(end, end_s);
  const length = lines[0]?.counts.length ?? 0;
  const xs = Array.from({ length }, (_, at) => at * span).filter((x) => x < last);
  const rates = (counts, many = 1) =>
    xs.map((x, at) => counts[at] / many / Math.min(span, last - x));
  const line = ({ node_id: id, name = id, counts }, at) => [name, name, `c-${STYLES[at]}`, rates(counts)];
  const shown = lines.map(line);
  // None has an empty name.
  if (others) shown.push(["", "mean of the others", "c-grey", rates(others.counts, manyOf(others))]);
  return {
    lines: shown.map(([key, label, style]) => ({ key, label, style })),
    xs,
    columns: Object.fromEntries(shown.map(([key, , , column]) => [key, column])),
  };
}

const manyOf = ({ nodes, steps = nodes }) => steps;

// Which have a line, where not all do.
function inWords({ by, of, lines, others }) {
  if (lines.length === 0) return `Not known by ${by}.`;
  if (!others) return "";
  const half = lines.length / 2;
  const many = manyOf(others);
  return (
    `Of ${lines.length + many} ${by}s the ${half} with most ${of} over the run and the ${half} with ` +
    `least; the other ${plural(many, by)} as their mean.`
  );
}

// The choice; `onChange` is called whenever something else is to be drawn.
export function byPart(testId, onChange) {
  const state = { by: "all", of: "ok", answer: null, loop: null, isOver: false, loaded: null };
  const note = h("p", { class: "note" });
  const chooseCount = (of) => {
    state.of = of;
    state.loop?.now();
  };
  const names = ["sent", "ok", "errors"];
  const counts = choice("Count", names.map((name) => [name, name]), state.of, chooseCount);
  counts.hidden = true;
  const chooseLines = (by) => {
    state.loop?.stop();
    Object.assign(state, { by, answer: null, loaded: null });
    state.loop = by === "all" ? null : poll(step);
    counts.hidden = by === "all";
    show();
  };
  const all = [
    ["all", "all"],
    ["node", "by node"],
    ["step", "by step"],
  ];
  const ways = choice("Lines", all, state.by, chooseLines);
  ways.lastChild.hidden = true;
  const element = h("span", { class: "by" }, ways, counts);

  function show() {
    setText(note, state.answer ? inWords(state.answer) : "");
    setAttributes(element, { "data-by": state.answer?.by, "data-of": state.answer?.of });
    onChange();
  }

  const query = () => `by=${state.by}&of=${state.of}`;
  const step = () =>
    pace(state, query(), async () => {
      const wanted = query();
      const answer = await get(`/tests/${encodeURIComponent(testId)}/lines?${wanted}`);
      // Another one was chosen meanwhile.
      if (wanted !== query()) return 0;
      state.answer = answer;
      show();
      return JSON.stringify(answer).length;
    });
  return {
    element,
    note,
    // What was loaded last; null where all are one.
    answer: () => state.answer,
    // Whether the run is over, and its steps.
    tell(isOver, steps) {
      state.isOver = isOver;
      ways.lastChild.hidden = !(steps?.length > 1);
    },
    stop: () => state.loop?.stop(),
  };
}
