//! The parts of the page that only calculate, asked in the browser that runs them.

use serde_json::{Value, json};

use crate::stage::Stage;

/// `value` of an expression over the exports of a module.
fn evaluate(stage: &Stage, module: &str, expression: &str) -> Value {
    let script = format!(
        "const done = arguments[arguments.length - 1];
         const base = document.querySelector('script[type=module]').src;
         import(new URL('./{module}', base)).then((m) => done({expression}),
             (error) => done(String(error)));"
    );
    stage.browser.run_later(&script)
}

fn check(stage: &Stage, module: &str, cases: &[(&str, Value)]) {
    for (expression, expected) in cases {
        let value = evaluate(stage, module, expression);
        assert_eq!(&value, expected, "{module}: {expression}");
    }
}

#[test]
fn calculations_are_right() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    stage.open("#/");
    check_numbers(&stage);
    check_remaining_time(&stage);
    check_series(&stage);
    check_events(&stage);
    check_axes(&stage);
    check_nodes(&stage);
    check_mergers(&stage);
    check_lists(&stage);
    check_sets(&stage);
    stage.assert_no_console_errors();
}

fn check_mergers(stage: &Stage) {
    let merger = json!({"merger_id": "m1", "state": "silent", "heard_age_s": 12,
        "partitions": [2, 5], "lag_messages": 1234, "reason": null});
    let shown = |mergers: &Value, reasons: &Value| {
        format!(
            "(() => {{ const card = m.allMergers();
                card.update({{mergers: {mergers}, reasons: {reasons}}});
                const texts = [...card.element.querySelectorAll('tbody tr > *, p')];
                return [card.element.hidden, ...texts.map((cell) => cell.textContent)]; }})()"
        )
    };
    let cases = [
        (shown(&json!([]), &json!([])), json!([true])),
        (
            shown(&json!([merger]), &json!(["partition 3 is read by none"])),
            json!([
                false,
                "m1",
                "silent",
                "12\u{202f}s",
                "2, 5",
                "1\u{202f}234",
                "partition 3 is read by none"
            ]),
        ),
    ];
    for (expression, expected) in cases {
        check(stage, "nodes.js", &[(&expression, expected)]);
    }
}

fn check_sets(stage: &Stage) {
    let run =
        |id: &str, set: &str, counted: bool| json!({"test_id": id, "set": set, "counted": counted});
    let trend = json!({
        "runs": [run("a", "a", true), run("b", "a", false), run("c", "c", true), run("d", "a", true)],
        "steps": [{"set": "c", "before": "a", "verdict": "worse", "reasons": []}],
    });
    let sets = format!(
        "m.setsOf({trend}).map((s) => [s.set, s.all.length, s.counted.length, s.step?.verdict ?? null])"
    );
    let values = |values: &[f64]| -> Value {
        values
            .iter()
            .map(|value| json!({"p99_ms": value}))
            .collect()
    };
    let spread = |of: &Value| format!("m.spread({of}, 'p99_ms')");
    let cases = [
        (sets, json!([["a", 3, 2, null], ["c", 1, 1, "worse"]])),
        (spread(&values(&[5.0, 1.0, 3.0])), json!([1, 3, 5])),
        (spread(&values(&[10.0, 2.0])), json!([2, 6, 10])),
        (
            spread(&json!([{"p99_ms": null}])),
            json!([null, null, null]),
        ),
    ];
    for (expression, expected) in &cases {
        check(stage, "trend.js", &[(expression, expected.clone())]);
    }
}

fn check_numbers(stage: &Stage) {
    let spaced = |texts: &[&str]| -> Value {
        texts
            .iter()
            .map(|text| text.replace(' ', "\u{202f}"))
            .collect()
    };
    let cases = [
        ("[m.count(1234567)]", spaced(&["1 234 567"])),
        ("[m.count(null), m.latency(undefined)]", json!(["–", "–"])),
        (
            "[0.0814, 4.7, 1520].map(m.latency)",
            spaced(&["81.4 µs", "4.7 ms", "1.52 s"]),
        ),
        ("[m.percent(0.000001, 2)]", spaced(&["< 0.01 %"])),
        (
            "[0, 512, 1520].map(m.bytes)",
            spaced(&["0 B", "512 B", "1.52 kB"]),
        ),
        (
            "[0, 0.99, 0.999, 1].map(m.quantile)",
            spaced(&["0 %", "99 %", "99.9 %", "100 %"]),
        ),
        (
            "[9.96, 3725].map(m.duration)",
            json!(["10.0\u{202f}s", "1\u{202f}h 02\u{202f}min"]),
        ),
    ];
    check(stage, "format.js", &cases);
}

fn check_remaining_time(stage: &Stage) {
    let remaining = |kind: &str, params: &str| {
        format!(
            "m.remainingSeconds({{ state: 'running', planned: 1000, sent: 250, shed: 0, \
             not_sent: 0, elapsed_s: 5, test_type: '{kind}' }}, {params})"
        )
    };
    // Loads 0 to 4 start 0 s to 8 s after the start.
    let bursts = "{ message_count_per_driver: 500, burst: 100, test_message_delay: 2 }";
    check(
        stage,
        "run.js",
        &[(&remaining("TSUNAMI", bursts), json!(3))],
    );
    // A quarter took 5 s.
    let counted = "{ message_count_per_driver: 500 }";
    check(
        stage,
        "run.js",
        &[(&remaining("AVALANCHE", counted), json!(15))],
    );
    let staged = "{ stages: ['1:5@10s', '5@1m'] }";
    check(
        stage,
        "run.js",
        &[(&remaining("TSUNAMI", staged), json!(65))],
    );
}

fn check_series(stage: &Stage) {
    let cases = [
        // A silent second is a zero, not a line between its neighbours.
        (
            "(() => { const s = new m.Series(); s.absorb(s.query(0), \
             [{second: 0, sent: 5, p50: 1}, {second: 2, sent: 7, p50: 2}], 0); \
             return [s.seconds(), s.column('sent'), s.column('p50')]; })()",
            json!([[0, 1, 2], [5, 0, 7], [1, null, 2]]),
        ),
        // Rows of 10 s each: counts become rates, figures stay.
        (
            "(() => { const s = new m.Series(); s.absorb(s.query(0), \
             Array.from({length: 400}, (_, i) => ({second: i * 10, sent: 50, p99: 3})), 0); \
             return [s.rows.length, s.rows[9].span, s.column('sent')[7], s.column('p99')[7]]; })()",
            json!([400, 10, 5, 3]),
        ),
        // New seconds replace those that may have changed, and none is lost or doubled.
        (
            "(() => { const s = new m.Series(); \
             const rows = (from, to) => Array.from({length: to - from}, \
                 (_, i) => ({second: from + i, sent: to})); \
             s.absorb(s.query(0), rows(0, 30), 0); const query = s.query(1000); \
             s.absorb(query, rows(query.from, 33), 1000); \
             return [query.from, s.rows.length, s.column('sent')[16], s.column('sent')[17]]; })()",
            json!([17, 33, 30, 33]),
        ),
        // A stream tells new seconds, silent ones between them, and those that changed.
        (
            "(() => { const s = new m.Series(); const from = s.next(); \
             s.tell([{second: 0, sent: 5}, {second: 1, sent: 6}]); \
             s.tell([{second: 0, sent: 9}, {second: 3, sent: 7}]); \
             return [from, s.seconds(), s.column('sent')]; })()",
            json!([0, [0, 1, 2, 3], [9, 6, 0, 7]]),
        ),
        // After joined rows it goes on by the second.
        (
            "(() => { const s = new m.Series(); s.absorb(s.query(0), \
             Array.from({length: 400}, (_, i) => ({second: i * 10, sent: 50})), 0); \
             const from = s.next(); s.tell([{second: 4000, sent: 7}, {second: 4002, sent: 8}]); \
             s.tell([{second: 15, sent: 1}]); \
             return [from, s.seconds().slice(-4), s.column('sent').slice(-4), s.rows.length]; })()",
            json!([4000, [3990, 4000, 4001, 4002], [5, 7, 0, 8], 403]),
        ),
    ];
    check(stage, "series.js", &cases);
}

fn check_events(stage: &Stage) {
    let cases = [
        // Events are put together however they are cut; comments and retries are none.
        (
            "(() => { const r = new m.EventReader(); const all = []; \
             for (const c of 'retry: 9\\n\\n:\\n\\nid: 7-0-a\\nevent: x\\ndata: [1]\\n\\nid: 8') \
                 all.push(...r.take(c)); \
             return [all, r.lastId]; })()",
            json!([[{"name": "x", "data": [1]}], "7-0-a"]),
        ),
        // Of a result what changed is told, and of its nodes those that did.
        (
            "(() => { const r = {ok: 1, nodes: [{node_id: 'a', ok: 1, x: 2}]}; \
             m.add(r, {ok: 7, nodes: [{node_id: 'a', ok: 3}, {node_id: 'b', ok: 4}]}); \
             m.add(r, {ok: 8}); return r; })()",
            json!({"ok": 8, "nodes": [{"node_id": "a", "ok": 3, "x": 2},
                {"node_id": "b", "ok": 4}]}),
        ),
        // Who says nothing new for 2 s is silent, until it does, or has ended.
        (
            "(() => { const n = new m.News(); \
             const r = (elapsed_s, outcome) => ({nodes: [{node_id: 'a', elapsed_s, outcome}]}); \
             const marks = [[1, null, 0], [1, null, 1900], [1, null, 2100], [2, null, 2200], \
                 [2, 'done', 9000]].map(([s, o, now]) => { const x = r(s, o); \
                 n.mark(x, true, now); return x.nodes[0].stale; }); return marks; })()",
            json!([false, false, true, false, false]),
        ),
    ];
    check(stage, "stream.js", &cases);
}

/// Counts become rates of the seconds that there are; those of the others a mean.
fn check_nodes(stage: &Stage) {
    let answer = json!({
        "span_s": 4, "end_s": 10, "lines": [{"node_id": "a", "counts": [8, 4, 4]}],
        "others": {"nodes": 2, "counts": [16, 8, 0]},
    });
    let shown = |end: u32| {
        format!(
            "(({{ lines, xs, columns }}) => [lines.map((l) => l.label), xs, columns.a, columns['']])(m.linesOf({answer}, {end}))"
        )
    };
    let labels = json!(["a", "mean of the others"]);
    let cases = [
        (shown(10), json!([labels, [0, 4, 8], [2, 1, 2], [2, 1, 0]])),
        (shown(6), json!([labels, [0, 4], [2, 2], [2, 2]])),
    ];
    for (expression, expected) in &cases {
        check(stage, "lines.js", &[(expression, expected.clone())]);
    }
    let none = "m.linesOf({ span_s: 1, end_s: 0, lines: [], others: null }, 5)";
    let nothing = json!({"lines": [], "xs": [], "columns": {}});
    let steps = json!({
        "span_s": 1, "end_s": 1, "lines": [{"step": 0, "name": "login", "counts": [8]}],
        "others": {"steps": 2, "counts": [6]},
    });
    let of_steps = format!("m.linesOf({steps}, 1).columns");
    let cases = [(none, nothing), (&of_steps, json!({"login": [8], "": [3]}))];
    check(stage, "lines.js", &cases);
    check(
        stage,
        "heat.js",
        &[(
            "m.shades(1_000_000)",
            json!([1, 10, 100, 1000, 10_000, 100_000, 1_000_000]),
        )],
    );
}

fn check_axes(stage: &Stage) {
    let cases = [
        ("m.logarithmic([0.3, 80], 5).ticks", json!([1, 10, 100])),
        (
            "m.linear([0, 3140], 4).ticks",
            json!([0, 1000, 2000, 3000, 4000]),
        ),
        ("m.nearest([0, 10, 20], (x) => x / 20, 0.74)", json!(1)),
    ];
    check(stage, "axis.js", &cases);
}

/// A threshold that is given twice is shown twice, also after many updates.
fn check_lists(stage: &Stage) {
    let twice = "(() => { const verdict = m.verdict(); const threshold = \
        { threshold: 'p99<1ms', observed: 2, pass: false }; const result = { sent: 1, \
        state: 'running', verdict: { verdict: 'valid', reasons: ['a', 'a'] }, \
        thresholds: [threshold, threshold] }; \
        for (let n = 0; n < 3; n += 1) verdict.update(result); \
        return verdict.element.querySelectorAll('li').length; })()";
    check(stage, "parts.js", &[(twice, json!(4))]);
}
