// Stands in for the orchestrator: a run of some hours on some nodes, and of some steps, that goes on
// while it is watched.
"use strict";
(() => {
  const { nodes: NODES, hours: HOURS, steps: STEPS } = window.made;
  const LENGTH_S = 3600 * HOURS;
  const opened = Date.now();
  const elapsed = () => LENGTH_S - 100 + Math.floor((Date.now() - opened) / 1000);
  const figures = [
    "min",
    "max",
    "mean",
    "median",
    "mode",
    "stddev",
    "p50",
    "p90",
    "p95",
    "p99",
    "p99_9",
    "p99_99",
  ];
  const statistics = Object.fromEntries(figures.map((name, at) => [`${name}_latency`, 0.5 + at]));
  const row = (second) => {
    const wave = 1 + 0.2 * Math.sin(second / 9) + 0.1 * Math.random();
    const sent = Math.round(80_000 * wave);
    return {
      second,
      offered: 80_000,
      sent,
      completed: sent,
      ok: sent - 5,
      errors: 5,
      shed: 0,
      in_flight: Math.round(80 * wave),
      bytes_sent: 160 * sent,
      bytes_received: 1200 * sent,
      p50: wave,
      p99: 5 * wave,
      p99_9: 12 * wave,
      max: 60 * wave * wave,
      service_p50: wave,
      service_p99: 4 * wave,
    };
  };
  const rows = Array.from({ length: LENGTH_S }, (_, second) => row(second));
  const tally = (parts) => ({
    planned: (80_000 * LENGTH_S) / parts,
    offered: 80_000 * elapsed(),
    sent: (80_000 * elapsed()) / parts,
    completed: (80_000 * elapsed()) / parts,
    ok: (79_995 * elapsed()) / parts,
    shed: 0,
    not_sent: 0,
    aborted: 0,
    warmup_sent: 0,
    connect_errors: 0,
    requests_per_second: 80_000,
    elapsed_s: elapsed(),
    clamped: 0,
    errors: { write: 0, read: 5 * elapsed(), timeout: 0, status: 0, malformed: 0 },
    status_codes: { 200: 79_995 * elapsed() },
    bytes: { sent: 1e9, received: 1e10 },
  });
  const valid = { verdict: "valid", reasons: [] };
  const samples = {
    metrics: statistics,
    service: statistics,
    release_lag: statistics,
    error_latency: statistics,
  };
  const curve = Array.from({ length: 201 }, (_, at) => ({
    quantile: 1 - 0.5 ** (at / 10),
    response_ms: 0.5 * Math.exp(at / 30),
    service_ms: 0.5 * Math.exp(at / 45),
  }));
  const ids = Array.from({ length: NODES }, (_, at) => `driver-${at + 1}`);
  const nodes = () =>
    ids.map((id) => ({
      node_id: id,
      outcome: null,
      reason: null,
      ...tally(NODES),
      ...samples,
      rate: 10_000,
      first_send_ms: 0.2,
      verdict: valid,
      foreign: null,
    }));
  const steps = () =>
    Array.from({ length: STEPS }, (_, at) => ({
      name: `step-${at + 1}`,
      flow: "main",
      sent: Math.round((80_000 * elapsed()) / STEPS),
      ok: Math.round((79_995 * elapsed()) / STEPS),
      status: 0,
      failed: 0,
      lost: 0,
      without_value: 0,
      requests_per_second: null,
      checks: [],
      missing: 0,
      response: statistics,
      service: statistics,
    }));
  const joined = (points, last) => {
    const span = Math.ceil(last / points);
    return rows
      .slice(0, last)
      .filter((_, at) => at % span === 0)
      .map((one) => ({ ...one, sent: one.sent * span, bytes_sent: one.bytes_sent * span }));
  };
  const series = (query) => {
    const last = Math.min(LENGTH_S, elapsed());
    const points = Number(query.get("points"));
    return points ? joined(points, last) : rows.slice(Number(query.get("series_from")), last);
  };
  const answers = {
    metrics: (query) => ({
      test_id: "hour",
      test_type: "TSUNAMI",
      state: "running",
      ...tally(1),
      ...samples,
      curve,
      verdict: valid,
      coverage: {
        nodes_expected: NODES,
        nodes_reporting: NODES,
        nodes_finished: 0,
        reports_missing: 0,
        planned_share: 0.9,
      },
      accounting: { holds: false, imbalance: null },
      start_skew_ms: 0.3,
      thresholds: [],
      nodes: nodes(),
      ...(STEPS > 0 ? { steps: steps(), flows: [], data: [] } : {}),
      series: series(query),
    }),
    nodes: () =>
      ids.map((id) => ({
        node_id: id,
        node_IP: "10.0.0.1:1",
        state: "up",
        heartbeat_age_s: Math.random(),
        cores: 4,
      })),
    tests: () => ({
      test_id: "hour",
      test_type: "TSUNAMI",
      state: "running",
      config: { rate: 10_000, duration_s: LENGTH_S },
      participants: ids,
      started_unix_ms: opened - (LENGTH_S - 100) * 1000,
    }),
    healthz: () => ({ broker: { state: "up" }, mergers: { mergers: [], reasons: [] } }),
  };
  window.fetch = async (path) => {
    const url = new URL(path, location.origin);
    const answer = answers[url.pathname.split("/")[1]];
    return new Response(JSON.stringify(answer(url.searchParams)), { status: 200 });
  };

  // Time between frames, and time that the page's own work holds the thread, over `ms`.
  window.measure = (ms) =>
    new Promise((resolve) => {
      const gaps = [];
      let longest = 0;
      let news = 0;
      const run = document.getElementById("run");
      new MutationObserver(() => {
        news += 1;
      }).observe(run, { attributes: true, attributeFilter: ["data-elapsed-s"] });
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) longest = Math.max(longest, entry.duration);
      }).observe({ type: "longtask" });
      const start = performance.now();
      let previous = start;
      const frame = (now) => {
        gaps.push(now - previous);
        previous = now;
        if (now - start < ms) requestAnimationFrame(frame);
        else finish();
      };
      const finish = () => {
        gaps.sort((a, b) => a - b);
        const at = (share) => Math.round(gaps[Math.floor((gaps.length - 1) * share)] * 10) / 10;
        resolve({
          frames: gaps.length,
          frame_p50_ms: at(0.5),
          frame_p99_ms: at(0.99),
          frame_max_ms: at(1),
          longest_task_ms: longest,
          news,
        });
      };
      requestAnimationFrame(frame);
    });
})();
