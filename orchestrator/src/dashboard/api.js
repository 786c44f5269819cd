// The REST API, and whether it answers. The page knows nothing that does not come through here.

import { assert } from "./dom.js";
import { recall, remember } from "./memory.js";

const GET_TIMEOUT_MS = 5_000;
// A trigger waits for ready drivers.
const POST_TIMEOUT_MS = 20_000;
const TOKEN_KEY = "dlts-token";

// An answer of the orchestrator that is not 2xx, in its own words.
export class ApiError extends Error {
  constructor(status, told) {
    super(told.error ?? `status ${status}`);
    this.status = status;
    this.told = told;
  }
}

// What went wrong and what to do, in the orchestrator's words.
export function inWords(error) {
  return [error.message, error.told?.hint].filter(Boolean).join(". ");
}

// No answer at all.
export class Unreachable extends Error {}

const listeners = new Set();
let link = { up: null, since: Date.now() };

// Calls back at each change between reachable and not, and once at the start.
export function onLink(callback) {
  listeners.add(callback);
  callback(link);
}

function setLink(up) {
  if (link.up === up) return;
  link = { up, since: Date.now() };
  for (const callback of listeners) callback(link);
}

export async function get(path) {
  return (await request("GET", path, undefined, GET_TIMEOUT_MS)).json();
}

export async function getBlob(path) {
  return (await request("GET", path, undefined, POST_TIMEOUT_MS)).blob();
}

// A body that is a text goes as it is: a document.
export async function post(path, body) {
  return (await request("POST", path, body, POST_TIMEOUT_MS)).json();
}

// As `post`, of the page alone: nobody waits for it.
export async function postUnasked(path, body) {
  const more = { isUnasked: true };
  return (await request("POST", path, body, POST_TIMEOUT_MS, more)).json();
}

// An answer that goes on until `signal` is given, or the orchestrator ends it. There is no other
// limit of time, not even to its beginning.
export async function listen(path, headers, signal) {
  return request("GET", path, undefined, undefined, { headers, signal });
}

async function request(method, path, body, timeoutMs, more) {
  assert(path.startsWith("/"), "a path of this origin");
  let response = await answer(method, path, body, timeoutMs, more);
  // Who left the question is asked again for what it does, not for what the page does by itself.
  const isUnasked = method === "GET" || more?.isUnasked;
  if (response.status === 401 && !(hasLeft && isUnasked)) {
    if (await askToken()) response = await answer(method, path, body, timeoutMs, more);
  }
  if (response.ok) return response;
  throw await problem(response);
}

async function answer(method, path, body, timeoutMs, more = {}) {
  const headers = { ...more.headers };
  const token = recall(TOKEN_KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  const isText = typeof body === "string";
  if (body !== undefined) headers["Content-Type"] = isText ? "application/yaml" : "application/json";
  const signal = more.signal ?? AbortSignal.timeout(timeoutMs);
  const options = { method, headers, cache: "no-store", signal };
  if (body !== undefined) options.body = isText ? body : JSON.stringify(body);
  try {
    const response = await fetch(path, options);
    setLink(true);
    return response;
  } catch (error) {
    // Who does not want an answer any more says nothing about the orchestrator.
    if (!more.signal?.aborted) setLink(false);
    throw new Unreachable(String(error.message ?? error));
  }
}

async function problem(response) {
  let told = {};
  try {
    told = await response.json();
  } catch {
    // Not one of ours: the status must do.
  }
  return new ApiError(response.status, told);
}

// Whether the question for the token was left without one.
let hasLeft = false;

// Resolves when a token was given, or the question was left; whether there is a token. Many
// requests may wait for the one dialog.
function askToken() {
  const dialog = document.getElementById("token-dialog");
  if (!dialog.open) {
    dialog.returnValue = "";
    dialog.showModal();
  }
  return new Promise((resolve) => {
    const close = () => {
      hasLeft = dialog.returnValue !== "given";
      if (!hasLeft) remember(TOKEN_KEY, document.getElementById("token").value);
      resolve(!hasLeft);
    };
    dialog.addEventListener("close", close, { once: true });
  });
}

// Calls `step` again and again, never twice at once; it returns the ms until the next time. A page
// that becomes visible again does not wait.
export function poll(step) {
  let timer = 0;
  let stopped = false;
  let busy = false;
  const run = async () => {
    if (stopped || busy) return;
    clearTimeout(timer);
    busy = true;
    let delay = 1000;
    try {
      delay = await step();
    } catch (error) {
      // A refusal is told where it matters; the outage banner tells of the rest.
      if (!(error instanceof Unreachable || error instanceof ApiError)) throw error;
    } finally {
      busy = false;
      if (!stopped) timer = setTimeout(run, delay);
    }
  };
  const wake = () => {
    if (!document.hidden) run();
  };
  document.addEventListener("visibilitychange", wake);
  run();
  return {
    now: run,
    stop() {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", wake);
    },
  };
}
