//! Real drivers that do nothing: what being there costs the broker, the orchestrator and themselves.
//!
//! The processes' own CPU time, over some seconds after all are up and have settled. Of a broker that
//! was there before, `--broker-pid` names the process. Divided by the drivers, and with the broker's
//! time without any taken off, this is what a driver costs: see [`cost`].

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::Options;
use crate::machine;
use crate::results::{Cell, Sample};
use crate::rig::{Error, Rig};
use crate::scenario::cluster::{Cluster, Size};

/// Until consumers have joined and metadata are known.
const SETTLE: Duration = Duration::from_secs(5);

/// Measures each number of drivers, and none first.
pub(super) fn cells(options: &Options, rig: &Rig) -> Result<Vec<Cell>, Error> {
    let mut cells = Vec::new();
    let mut empty = None;
    for &drivers in std::iter::once(&0).chain(&options.real) {
        let folder = rig.scratch().join(format!("real-{drivers}"));
        let mut sample = measure(options, &folder, drivers, &rig.host.cores)?;
        let broker = sample.get("broker_cores").copied();
        let before = *empty.get_or_insert(broker);
        if let (1.., Some(with), Some(without)) = (drivers, broker, before) {
            let each = cost(with, without, drivers);
            sample.insert("broker_share_per_driver".to_owned(), each);
        }
        let mut cell = Cell::new("idle drivers", &[("nodes", f64::from(drivers))]);
        cell.samples.push(sample);
        cell.summarise();
        cells.push(cell);
    }
    Ok(cells)
}

fn measure(
    options: &Options,
    folder: &Path,
    drivers: u32,
    cores: &[usize],
) -> Result<Sample, Error> {
    let size = Size {
        drivers,
        ..Size::default()
    };
    let cluster = Cluster::start(folder, options.kafka.as_deref(), size, cores)?;
    let broker = options.broker_pid.or(cluster.broker_pid());
    let orchestrator = Some(cluster.orchestrator_pid());
    let driver_pids = cluster.driver_pids();
    thread::sleep(SETTLE);
    let spent_s = |pids: &[u32]| {
        let each = pids.iter().map(|&pid| machine::cpu_seconds(pid));
        each.sum::<Option<f64>>()
    };
    let all = || [broker, orchestrator].map(|pid| spent_s(&[pid?]));
    let (begin, before, drivers_before) = (Instant::now(), all(), spent_s(&driver_pids));
    thread::sleep(Duration::from_secs(options.seconds.into()));
    let (after, drivers_after) = (all(), spent_s(&driver_pids));
    let seconds = begin.elapsed().as_secs_f64();
    let cores = |after: Option<f64>, before: Option<f64>| Some((after? - before?) / seconds);
    let of_drivers = cores(drivers_after, drivers_before);
    let figures = [
        ("broker_cores", cores(after[0], before[0])),
        ("cores", cores(after[1], before[1])),
        (
            "driver_share",
            of_drivers
                .filter(|_| drivers > 0)
                .map(|all| all / f64::from(drivers)),
        ),
    ];
    let there = figures.into_iter();
    Ok(there
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect())
}

/// What each of so many drivers adds to the broker, as a share of a core.
fn cost(with: f64, without: f64, drivers: u32) -> f64 {
    (with - without) / f64::from(drivers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_takes_by_itself_is_no_drivers_cost() {
        assert!((cost(0.54, 0.04, 20) - 0.025).abs() < 1e-12);
    }
}
