// Numbers and times as people read them. Absent numbers are a dash, never a zero.

export const NONE = "–";
const THIN = "\u202f";

const absent = (value) => value === null || value === undefined || Number.isNaN(value);

// 1234567 -> 1 234 567
export function count(value) {
  if (absent(value)) return NONE;
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, THIN);
}

// Three significant digits, without an exponent.
export function significant(value) {
  if (absent(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 100) return count(value);
  if (size >= 10) return value.toFixed(1);
  if (size >= 1) return value.toFixed(2);
  if (size === 0) return "0";
  return size < 0.0005 ? "<0.001" : value.toFixed(3);
}

// 12345 -> 12.3 k
export function compact(value) {
  if (absent(value)) return NONE;
  for (const [unit, sign] of [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ]) {
    if (Math.abs(value) >= unit) return `${trim(value / unit)}${THIN}${sign}`;
  }
  return trim(value);
}

function trim(value) {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}

// Milliseconds with the unit that suits: 812 µs, 4.21 ms, 1.52 s.
export function latency(ms) {
  if (absent(ms)) return NONE;
  if (ms < 1) return `${trim(ms * 1000)}${THIN}µs`;
  if (ms < 1000) return `${trim(ms)}${THIN}ms`;
  return `${trim(ms / 1000)}${THIN}s`;
}

export function bytes(value) {
  if (absent(value)) return NONE;
  const number = compact(value);
  return number.includes(THIN) ? `${number}B` : `${number}${THIN}B`;
}

// A share of 0 to 1. What is not zero never looks like zero.
export function percent(share, digits = 1) {
  if (absent(share)) return NONE;
  const least = 10 ** -digits;
  if (share > 0 && share * 100 < least / 2) return `<${THIN}${least}${THIN}%`;
  return `${(share * 100).toFixed(digits)}${THIN}%`;
}

// 3725 -> 1 h 02 min
export function duration(seconds) {
  if (absent(seconds) || !Number.isFinite(seconds)) return NONE;
  if (seconds < 10) return `${seconds.toFixed(1)}${THIN}s`;
  const whole = Math.round(seconds);
  const two = (part) => String(part).padStart(2, "0");
  if (whole < 60) return `${whole}${THIN}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}${THIN}min ${two(whole % 60)}${THIN}s`;
  return `${Math.floor(minutes / 60)}${THIN}h ${two(minutes % 60)}${THIN}min`;
}

// A place on the time axis: 75 -> 1:15
export function clock(seconds) {
  const whole = Math.round(seconds);
  const two = (part) => String(part).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = two(whole % 60);
  return hours > 0 ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
}

export function date(unixMs) {
  if (absent(unixMs)) return NONE;
  const when = new Date(unixMs);
  const two = (part) => String(part).padStart(2, "0");
  const day = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
  return `${day} ${timeOfDay(unixMs)}`;
}

// 13:05:59, where the page is looked at
export function timeOfDay(unixMs) {
  const when = new Date(unixMs);
  const parts = [when.getHours(), when.getMinutes(), when.getSeconds()];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

// 0.999 -> 99.9 %, with one digit more than it has nines
export function quantile(value) {
  const nines = value >= 1 ? 0 : -Math.log10(1 - value);
  const digits = Math.min(6, Math.max(1, Math.ceil(nines - 1 - 1e-6)));
  return `${Number((value * 100).toFixed(digits))}${THIN}%`;
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

// A text of JSON in lines. What it says stays as it is written: numbers have more digits than a
// browser's own.
export function indented(json) {
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  return json.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|\{\}|\[\]|[{}[\],:]/g, (token) => {
    if (token === ":") return ": ";
    if (token === ",") return token + line();
    if (token === "{" || token === "[") {
      depth += 1;
      return token + line();
    }
    if (token === "}" || token === "]") {
      depth -= 1;
      return line() + token;
    }
    return token;
  });
}
