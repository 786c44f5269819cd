// What people noted while a test ran: a list of it, a field to add to it, and marks for the charts.

import { card, h, keyed, setText } from "./dom.js";
import * as format from "./format.js";
import { measuredFrom } from "./run.js";

// Seconds from the start; null before there is one.
function second(note, test) {
  const start = measuredFrom(test);
  return start ? (note.at_unix_ms - start) / 1000 : null;
}

// What a chart over the time of the run marks.
export function marksOf(test) {
  const marks = (test.notes ?? []).map((note) => ({ x: second(note, test), label: note.text }));
  return marks.filter(({ x }) => x !== null && x >= 0);
}

// onAdd(text) is called with what is to be noted.
export function notes(onAdd) {
  const list = h("ul", { class: "notes" });
  const none = h("p", { class: "note" }, "Nothing was noted.");
  const input = h("input", { id: "note-text", required: true, maxlength: 300, placeholder: "deployed 1.4.2" });
  const submit = async (event) => {
    event.preventDefault();
    if (await onAdd(input.value.trim())) input.value = "";
  };
  const label = h("label", { for: "note-text" }, "What happened now");
  const field = h("div", { class: "field" }, label, input);
  const button = h("button", { type: "submit" }, "Note");
  const form = h("form", { class: "chooser", "data-live": true, on: { submit } }, field, button);
  const create = () => h("li");
  function update(test) {
    const all = test.notes ?? [];
    const show = (item, note) => {
      const at = second(note, test);
      const when = at !== null && at >= 0 ? `at ${format.clock(at)}` : format.date(note.at_unix_ms);
      setText(item, `${when}: ${note.text}`);
    };
    none.hidden = all.length > 0;
    keyed(list, all, (note, at) => at, create, show);
  }
  return { element: card("Notes", list, none, form), update };
}
