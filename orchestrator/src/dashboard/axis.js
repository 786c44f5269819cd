// Scales of charts: where a value lies, and which values deserve a tick.

import { assert } from "./dom.js";
import { clock, compact, quantile } from "./format.js";

const STEPS = [1, 2, 5, 10];
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

// Seconds from the start of a run.
export const timeAxis = {
  scale(xs, tickCount) {
    const max = Math.max(10, xs[xs.length - 1] ?? 0);
    const step = TIME_STEPS.find((candidate) => max / candidate <= tickCount) ?? 86400;
    const ticks = [];
    for (let at = 0; at <= max; at += step) ticks.push(at);
    return { place: (x) => x / max, ticks };
  },
  tick: clock,
  value: (second) => `at ${clock(second)}`,
};

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
