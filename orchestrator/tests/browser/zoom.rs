//! A part of a run, larger: by keyboard, by mouse, and back.

use serde_json::json;

use crate::stage::{SOON, Stage};

const RATES: &str = "svg.chart[aria-label^='Requests']";
/// The time of the first and the last tick below each chart over time.
const TICKS: &str = r"
    const charts = document.querySelectorAll('div.grid svg.chart:not([aria-label^=Percentiles])');
    return [...charts].map((chart) => {
        const ticks = [...chart.querySelectorAll('.grid text:not(.end)')].map((tick) => tick.textContent);
        return [ticks[0], ticks[ticks.length - 1]].join(' ');
    }).join(', ');";
/// Whether there is a way back, on each of them.
const BACK: &str = "return [...document.querySelectorAll('div.grid .times > button')].map((button) => !button.hidden)";

fn an_hour(stage: &Stage) {
    stage.open_an_hour();
    wait_for_ticks(stage, |ticks| ticks.starts_with("0:00 "));
}

fn wait_for_ticks(stage: &Stage, is_wanted: impl Fn(&str) -> bool) -> String {
    let mut seen = String::new();
    stage
        .browser
        .wait("the ticks of all charts", SOON, |browser| {
            browser
                .run(TICKS, json!([]))
                .as_str()
                .unwrap()
                .clone_into(&mut seen);
            let mut charts = seen.split(", ");
            let one = charts.next().unwrap();
            charts.all(|other| other == one) && is_wanted(one)
        });
    seen
}

#[test]
fn a_part_of_a_run_is_shown_larger_on_all_its_charts() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    an_hour(&stage);
    assert_eq!(
        stage.browser.run(BACK, json!([])),
        json!([false, false, false, false])
    );
    // Around the middle, twice as large each time: of 58 minutes 15 are left.
    stage.browser.type_into(RATES, "++");
    wait_for_ticks(&stage, |ticks| ticks == "25:00 35:00");
    assert_eq!(
        stage.browser.run(BACK, json!([])),
        json!([true, true, true, true])
    );
    let spoken = "return document.querySelector('.spoken').textContent";
    let spoken = stage.browser.run(spoken, json!([]));
    assert!(spoken.as_str().unwrap().starts_with("From 2"), "{spoken}");
    // The cursor takes the window along: to the first second, or the last.
    stage.browser.type_into(RATES, "\u{e011}"); // home
    wait_for_ticks(&stage, |ticks| ticks.starts_with("0:00 "));
    stage.browser.type_into(RATES, "0");
    wait_for_ticks(&stage, |ticks| ticks.starts_with("0:00 5"));
    assert_eq!(
        stage.browser.run(BACK, json!([])),
        json!([false, false, false, false])
    );
    stage.assert_no_console_errors();
}

#[test]
fn what_a_mouse_drags_over_is_shown_until_it_is_left() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    an_hour(&stage);
    let place = format!(
        "const box = document.querySelector(\"{RATES}\").getBoundingClientRect(); \
         return [box.left + box.width / 2, box.left + box.width * 0.75, box.top + box.height / 2];"
    );
    let place = stage.browser.run(&place, json!([]));
    let [from, to, y] = [0, 1, 2].map(|at| place[at].as_f64().unwrap());
    for (kind, x) in [
        ("mousePressed", from),
        ("mouseMoved", to),
        ("mouseReleased", to),
    ] {
        let event =
            json!({"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1});
        stage.browser.devtools("Input.dispatchMouseEvent", &event);
    }
    let ticks = wait_for_ticks(&stage, |ticks| !ticks.starts_with("0:00 "));
    let minute: u32 = ticks.split(':').next().unwrap().parse().unwrap();
    assert!((26..=34).contains(&minute), "{ticks}");
    stage.browser.click(".times > button");
    wait_for_ticks(&stage, |ticks| ticks.starts_with("0:00 "));
    stage.assert_no_console_errors();
}

#[test]
fn charts_tell_the_time_of_the_day_too() {
    let Some(stage) = Stage::set(&["one"]) else {
        return;
    };
    an_hour(&stage);
    stage.browser.click(".times [data-value=day]");
    // The hour began 3500 s ago: its ticks are whole tens of minutes of the day.
    let is_of_day = |time: &str| time.len() == 8 && time.ends_with("0:00");
    wait_for_ticks(&stage, |ticks| ticks.split(' ').all(is_of_day));
    stage.browser.click(".times [data-value=run]");
    wait_for_ticks(&stage, |ticks| ticks.starts_with("0:00 "));
    stage.assert_no_console_errors();
}
