// The seconds of a run as they are loaded: whole and downsampled at first and now and then, only
// what is new in between. An 8-hour run costs no more than a short one.

import { assert } from "./dom.js";

const POINTS = 600;
// Reports of several nodes, and late ones, still change seconds that are this old.
const OVERLAP_S = 12;
const WHOLE_EVERY_MS = 60_000;
// Longest run of silent seconds that is filled with zeros.
const FILL_MAX = 4000;

const COUNTS = ["offered", "sent", "completed", "ok", "errors", "shed", "bytes_sent", "bytes_received"];

export class Series {
  constructor() {
    // Each with its span, the seconds that it stands for.
    this.rows = [];
    this.wholeAt = -Infinity;
    // Seconds that were told since; silent ones, which fill the rows, are no news.
    this.told = 0;
  }

  // What to ask for next; `whole` asks for all of it.
  query(now, whole = false) {
    const isOld = now - this.wholeAt > WHOLE_EVERY_MS;
    const due = whole || isOld || this.rows.length === 0 || this.isLong();
    const from = due ? 0 : this.#overlapStart();
    return { from, whole: due, text: due ? `points=${POINTS}` : `series_from=${from}` };
  }

  #overlapStart() {
    const last = this.rows[this.rows.length - 1].second;
    const row = this.rows.findLast((candidate) => candidate.second <= last - OVERLAP_S);
    return row?.second ?? 0;
  }

  absorb(query, rows, now) {
    assert(Array.isArray(rows), "a series is a list");
    const span = query.whole ? spanOf(rows) : 1;
    const fresh = filled(rows, span);
    if (query.whole) {
      this.rows = fresh;
      this.wholeAt = now;
      this.told = 0;
    } else {
      this.rows = this.rows.filter((row) => row.second < query.from).concat(fresh);
    }
  }

  // The first second that a stream is to tell, which then goes on where this ends.
  next() {
    const last = this.rows[this.rows.length - 1];
    if (last === undefined) return 0;
    return last.span === 1 ? this.#overlapStart() : last.second + last.span;
  }

  // Takes seconds as a stream tells them: new ones, and those that late reports changed. What was
  // joined into a longer row stays as it is until the whole is loaded again.
  tell(rows) {
    assert(Array.isArray(rows), "a series is a list");
    for (const row of rows) {
      const last = this.rows[this.rows.length - 1];
      if (last === undefined || row.second >= last.second + last.span) {
        this.rows.push(...filled(last ? [last, row] : [row], 1).slice(last ? 1 : 0));
        this.told += 1;
        continue;
      }
      const at = this.rows.findLastIndex((known) => known.second === row.second);
      if (at >= 0 && this.rows[at].span === 1) this.rows[at] = { ...row, span: 1 };
    }
  }

  // Whether so many seconds were told that a downsampled whole would be lighter.
  isLong() {
    return this.told > POINTS;
  }

  // The second after the last that the sending filled; where it filled none, the end of all.
  end() {
    const isFilled = (row) => !row.partial && !row.draining;
    const last = this.rows.findLast(isFilled) ?? this.rows[this.rows.length - 1];
    return last ? last.second + last.span : 0;
  }

  seconds() {
    return this.rows.map((row) => row.second);
  }

  // Whether any driver says it.
  has(name) {
    return this.rows.some((row) => row[name] !== undefined);
  }

  // Counts as rates, figures as they are.
  column(name) {
    if (!COUNTS.includes(name)) return this.rows.map((row) => row[name] ?? null);
    // A second that the sending did not fill has no rate, unless there is no other.
    const isFilled = (row) => !row.partial && !row.draining;
    const areAll = !this.rows.some(isFilled);
    const rate = (row) => (row[name] ?? 0) / row.span;
    return this.rows.map((row) => (areAll || isFilled(row) ? rate(row) : null));
  }
}

// Seconds joined into one row. Joining n seconds into at most POINTS rows leaves at least half as
// many, so that fewer were not joined.
export function spanOf(rows) {
  if (rows.length < POINTS / 2) return 1;
  let span = Infinity;
  for (let at = 1; at < rows.length; at += 1) {
    span = Math.min(span, rows[at].second - rows[at - 1].second);
  }
  return Number.isFinite(span) && span > 0 ? span : 1;
}

// Silent seconds have no row: nothing was offered, and there is nothing to draw a line over.
function filled(rows, span) {
  const all = [];
  for (const row of rows) {
    const previous = all[all.length - 1];
    const step = previous?.span ?? span;
    const silent = previous ? Math.round((row.second - previous.second - step) / span) : 0;
    for (let at = 0; at < Math.min(silent, FILL_MAX); at += 1) {
      all.push({ second: previous.second + step + at * span, span });
    }
    all.push({ ...row, span: row.span ?? span });
  }
  return all;
}
