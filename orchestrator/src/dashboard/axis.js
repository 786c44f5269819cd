// Scales of charts: where a value lies, and which values deserve a tick.

import { assert } from "./dom.js";
import { clock, compact, quantile, timeOfDay } from "./format.js";

const STEPS = [1, 2, 5, 10];
// A window is no narrower than a few points.
const ZOOM_MIN_S = 5;
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];

// `place` maps a value to 0..1.
export function linear(values, tickCount) {
  const top = Math.max(...values) || 1;
  const raw = top / tickCount;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * STEPS.find((candidate) => candidate * power >= raw * 0.999);
  const max = Math.ceil(top / step - 1e-9) * step;
  const ticks = [];
  for (let at = 0; at <= max + step / 2; at += step) ticks.push(at);
  return { place: (value) => value / max, ticks };
}

export function logarithmic(values, tickCount) {
  const positive = values.filter((value) => value > 0);
  if (positive.length === 0) return linear([1], tickCount);
  const low = below(Math.min(...positive));
  const high = Math.max(above(Math.max(...positive)), low * 10);
  const [from, to] = [Math.log10(low), Math.log10(high)];
  const place = (value) => (Math.log10(Math.max(value, low)) - from) / (to - from);
  return { place, ticks: logTicks(low, high, tickCount) };
}

function below(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [5, 2, 1].find((step) => step * power <= value * 1.0001);
}

function above(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * STEPS.find((step) => step * power >= value * 0.9999);
}

function logTicks(low, high, tickCount) {
  const all = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) {
    for (const step of [1, 2, 5]) all.push(step * power);
  }
  const inside = all.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
  if (inside.length <= tickCount + 2) return inside;
  return inside.filter((tick) => Math.abs(Math.log10(tick) % 1) < 1e-6);
}

// Seconds from the start of a run: all of them, or those of a window, which charts share that share
// the axis. They are told as time of the run, or of the day where its start is known.
export class TimeAxis {
  window = null;
  startMs = null;
  isOfDay = false;

  scale(xs, tickCount) {
    const [from, to] = this.window ?? [0, Math.max(10, xs[xs.length - 1] ?? 0)];
    const length = to - from;
    const step = TIME_STEPS.find((candidate) => length / candidate <= tickCount) ?? 86400;
    // At whole minutes of the day, where it is the day's time that is told.
    const offset = this.isOfDay ? secondOfDay(this.startMs) % step : 0;
    const ticks = [];
    for (let at = Math.ceil((from + offset) / step) * step - offset; at <= to; at += step) {
      ticks.push(at);
    }
    return { place: (x) => (x - from) / length, at: (place) => from + place * length, ticks };
  }

  tick = (second) => (this.isOfDay ? timeOfDay(this.startMs + second * 1000) : clock(second));
  value = (second) => `at ${this.tick(second)}`;

  // Shows what lies between two seconds; all where that is not known, or no less than all.
  zoom(xs, from = -Infinity, to = Infinity) {
    const [first, last] = [0, xs[xs.length - 1] ?? 0];
    const length = Math.max(ZOOM_MIN_S, to - from);
    const isAll = !(from > first || to < last) || length >= last;
    const start = Math.min(Math.max(first, from), last - length);
    this.window = isAll ? null : [start, start + length];
  }
}

// Of the clock on the wall where the page is looked at, as the ticks are told.
function secondOfDay(unixMs) {
  const when = new Date(unixMs);
  const minute = when.getHours() * 60 + when.getMinutes();
  return minute * 60 + when.getSeconds() + when.getMilliseconds() / 1000;
}

// Quantiles, each further nine as wide as the one before.
export const quantileAxis = {
  scale(xs) {
    const nines = (x) => -Math.log10(1 - x);
    const last = Math.max(1, ...xs.filter((x) => x < 1).map(nines));
    const place = (x) => (x >= 1 ? 1 : Math.min(1, nines(x) / last));
    const ticks = [0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999];
    return { place, ticks: ticks.filter((tick) => nines(tick) <= last + 1e-9) };
  },
  tick: quantile,
  value: (share) => `${quantile(share)} of requests within`,
};

// Rates a second, each tenfold as wide as the one before.
export const rateAxis = {
  scale: (xs, tickCount) => logarithmic(xs.length > 0 ? xs : [1, 10], tickCount),
  tick: compact,
  value: (rate) => `${compact(rate)}/s offered`,
};

// The index whose x is nearest to a place of 0..1; xs rise.
export function nearest(xs, place, at) {
  assert(xs.length > 0, "a chart without points has no nearest");
  let [low, high] = [0, xs.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (place(xs[middle]) < at) low = middle;
    else high = middle;
  }
  return at - place(xs[low]) <= place(xs[high]) - at ? low : high;
}
