// A test as the orchestrator tells it: server-sent events, read with fetch, since EventSource sends no
// token; and which drivers it has nothing new of.

import { listen } from "./api.js";
import { assert } from "./dom.js";

// Server-sent events out of the text that came so far; what is left over is the beginning of one.
export class EventReader {
  constructor() {
    this.rest = "";
    this.lastId = null;
  }

  // The events that are whole with this text: { name, data }.
  take(text) {
    const blocks = (this.rest + text).split("\n\n");
    this.rest = blocks.pop();
    return blocks.map((block) => this.#read(block)).filter((event) => event !== null);
  }

  #read(block) {
    const fields = new Map();
    for (const line of block.split("\n")) {
      const at = line.indexOf(": ");
      if (at > 0) fields.set(line.slice(0, at), line.slice(at + 2));
    }
    if (fields.has("id")) this.lastId = fields.get("id");
    if (!fields.has("data")) return null;
    return { name: fields.get("event") ?? "message", data: JSON.parse(fields.get("data")) };
  }
}

// An orchestrator that says nothing for so long, not even that it is there, is not.
const SILENT_MS = 15_000;

// Listens to a stream and hands over each event; resolves when no more come, for whatever reason.
export async function follow(path, controller, take) {
  const headers = { Accept: "text/event-stream" };
  // An orchestrator that takes the connection may yet never answer.
  const response = await unlessSilent(controller, listen(path, headers, controller.signal));
  assert(response.body, "an answer that can be read as it comes");
  const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const reader = new EventReader();
  for (;;) {
    const read = text.read().catch(() => ({ done: true }));
    const chunk = await unlessSilent(controller, read);
    if (chunk.done) return;
    for (const event of reader.take(chunk.value)) take(event);
  }
}

// What comes, or the end of it all when it does not come in time.
async function unlessSilent(controller, coming) {
  const silence = setTimeout(() => controller.abort(), SILENT_MS);
  try {
    return await coming;
  } finally {
    clearTimeout(silence);
  }
}

// Adds what changed to a result. Of its nodes only those that changed are told, and what of each.
export function add(result, { nodes = [], ...fields }) {
  Object.assign(result, fields);
  result.nodes ??= [];
  const byId = new Map(result.nodes.map((node) => [node.node_id, node]));
  for (const node of nodes) {
    const known = byId.get(node.node_id);
    if (known) Object.assign(known, node);
    else result.nodes.push(node);
  }
}

// Reports come once a second, but those of many drivers are told less often.
const NEWS_MS = 2_000;
const NODES_A_SECOND = 50;

// Which drivers have said nothing for a while, by the page's own clock.
export class News {
  constructor() {
    this.byNode = new Map();
  }

  // Marks the nodes of a result; whether a mark changed.
  mark(result, loading, now) {
    const limit = NEWS_MS * Math.max(1, Math.ceil(result.nodes.length / NODES_A_SECOND));
    let changed = false;
    for (const node of result.nodes) {
      const news = this.byNode.get(node.node_id);
      if (news?.elapsed !== node.elapsed_s) {
        this.byNode.set(node.node_id, { elapsed: node.elapsed_s, at: now });
      }
      const { at } = this.byNode.get(node.node_id);
      const stale = loading && !node.outcome && now - at > limit;
      changed ||= stale !== Boolean(node.stale);
      node.stale = stale;
    }
    return changed;
  }
}
