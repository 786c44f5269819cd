//! `bench server`: the test server beside others, in requests for a second of the server's CPU.
//!
//! The default target of a load tester must cost little, or it is what gets measured. Each server
//! runs on one core, with one worker, under the same load.

use crate::output::View;
use crate::results::{Cell, Document, Missing};
use crate::rig::{Error, Kind, Rig};
use crate::table::Column;
use crate::throughput::{self, Common};
use crate::tools::{Found, Load};
use crate::verdict;

/// Which servers under which load.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Servers to compare
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "testserver,nginx,node"
    )]
    pub servers: Vec<Kind>,

    /// Connections
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub connections: u32,

    /// Requests under way on each connection
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub pipeline: u32,

    /// What all scenarios know; of --tools, the first that is found makes the load
    #[command(flatten)]
    pub common: Common,
}

/// How it is shown.
pub const VIEW: View = View {
    title: "Minimal servers on one core",
    parameters: &["connections", "pipeline"],
    columns: &[
        Column::spread(
            "k req/CPU-s of the server",
            "requests_per_server_cpu_second",
            1e-3,
            1,
        ),
        Column::spread("k req/s", "requests_per_second", 1e-3, 1),
        Column::plain("server busy %", "target_busy_share", 100.0, 0),
        Column::plain("generator busy %", "generator_busy_share", 100.0, 0),
        Column::plain("steal %", "steal_share", 100.0, 1),
        Column::plain("others %", "foreign_share", 100.0, 1),
    ],
    plots: &[(
        "requests_per_server_cpu_second",
        "thousand requests for a second of the server's CPU",
        1e-3,
    )],
};

/// Measures every server that there is.
///
/// # Errors
/// When the rig cannot be set up, or no generator is there.
pub fn run(options: &Options) -> Result<Document, Error> {
    let common = &options.common;
    let rig = Rig::new(common.cores)?;
    let (found, _) = throughput::look(&common.tools)?;
    let generator = &found[0];
    let mut missing = Vec::new();
    let parameters = [
        ("connections", f64::from(options.connections)),
        ("pipeline", f64::from(options.pipeline)),
    ];
    let mut cells: Vec<(Kind, Cell)> = options
        .servers
        .iter()
        .map(|&kind| (kind, Cell::new(kind.name(), &parameters)))
        .collect();
    for repetition in 0..common.repetitions {
        for at in throughput::rotated(cells.len(), repetition) {
            let (kind, cell) = &mut cells[at];
            match measure_once(&rig, *kind, cell, generator, options) {
                Ok(()) => eprintln!("{:<12} #{}", kind.name(), repetition + 1),
                Err(Error::Missing { program, remedy }) => {
                    missing.push(Missing {
                        tool: program,
                        install: remedy,
                    });
                }
                Err(error) => return Err(error),
            }
        }
        cells.retain(|(_, cell)| !cell.samples.is_empty());
    }
    let mut cells: Vec<Cell> = cells.into_iter().map(|(_, cell)| cell).collect();
    cells.iter_mut().for_each(Cell::summarise);
    let mut settings = throughput::settings(common, Kind::Testserver);
    settings.insert("target".to_owned(), "each server in turn".into());
    settings.insert("generator".to_owned(), generator.tool.name.into());
    let metric = "requests_per_server_cpu_second";
    let doubts = cells
        .iter()
        .flat_map(|cell| {
            let uncertain = verdict::uncertain(cell, metric, "as server");
            verdict::noise(cell, "as server")
                .into_iter()
                .chain(uncertain)
        })
        .collect();
    Ok(Document {
        missing,
        doubts,
        ..throughput::document("server", &rig, settings, cells)
    })
}

fn measure_once(
    rig: &Rig,
    kind: Kind,
    cell: &mut Cell,
    generator: &Found,
    options: &Options,
) -> Result<(), Error> {
    let server = rig.start(kind)?;
    let load = Load {
        url: server.url(),
        connections: options.connections,
        seconds: options.common.seconds,
        pipeline: options.pipeline,
        rate: None,
        core: rig.host.generator_core,
        scratch: rig.scratch().to_owned(),
        ..Load::default()
    };
    let message = format!(
        "{} cannot make this load; choose another",
        generator.tool.name
    );
    let command = generator.command(&load).ok_or(Error::Nothing(message))?;
    cell.keep_command(&command, rig.scratch());
    let before = server.cpu_seconds();
    let mut sample =
        throughput::measure_once(rig, &server, generator, &command, options.common.seconds)?;
    let spent = server.cpu_seconds() - before;
    let requests = sample.get("requests").copied().unwrap_or(0.0);
    sample.insert("server_cpu_seconds".to_owned(), spent);
    sample.insert(
        "requests_per_server_cpu_second".to_owned(),
        requests / spent.max(1e-9),
    );
    cell.samples.push(sample);
    Ok(())
}
