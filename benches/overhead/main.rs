//! Measures what runbook costs beside the floors of the machine and, where they are installed, its
//! peers. `benches/run` calls it on the release binary.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark reports to the terminal"
)]

mod floors;
mod measure;
mod report;
mod tools;
mod workload;

use std::error::Error;
use std::path::{Path, PathBuf};

use self::measure::Sample;
use self::report::{Report, Row};
use self::tools::Tool;
use self::workload::Workload;

/// What the command line asks for.
struct Options {
    binary: PathBuf,
    samples: usize,
    only: Option<String>,
    json: Option<PathBuf>,
    enforce: bool,
}

const USAGE: &str = "\
Usage: benches/run [--samples N] [--only W2] [--json FILE] [--binary PATH] [--enforce]

  --samples N    whole-process runs of each workload, whose median is shown [default: 5]
  --only W       only this workload (W1, W2, W3, W4, W5, W8)
  --json FILE    write the figures as JSON, too
  --binary PATH  measure this program instead of the one just built
  --enforce      fail when a target is missed";

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            binary: PathBuf::from(env!("CARGO_BIN_EXE_runbook")),
            samples: 5,
            only: None,
            json: None,
            enforce: false,
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                // Cargo says so to every benchmark.
                "--bench" => {}
                "--enforce" => options.enforce = true,
                "--samples" => {
                    let text = value()?;
                    options.samples = text
                        .parse()
                        .ok()
                        .filter(|samples| *samples > 0)
                        .ok_or_else(|| format!("`{text}` is no number of samples"))?;
                }
                "--only" => options.only = Some(value()?.to_uppercase()),
                "--json" => options.json = Some(value()?.into()),
                "--binary" => options.binary = value()?.into(),
                other => return Err(format!("unknown argument `{other}`\n\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments
        .peek()
        .is_some_and(|first| first == measure::HELPER)
    {
        return measure::help(arguments.skip(1));
    }
    if arguments.peek().is_some_and(|first| first == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let options = Options::parse(arguments)?;
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::create_dir_all(&target)?;
    // Not in /tmp, which may be memory: a journal's cost is that of a real disk.
    let place = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&target)?;

    let mut report = Report::new(floors::measure(place.path())?);
    let tools = Tool::present(&options.binary, &target.join("peers/bin"));
    for workload in Workload::all() {
        if options
            .only
            .as_deref()
            .is_some_and(|only| only != workload.id())
        {
            continue;
        }
        for tool in &tools {
            match measure_row(tool, &workload, place.path(), options.samples) {
                Ok(Some(row)) => {
                    eprintln!("{}", row.progress());
                    report.add(row);
                }
                Ok(None) => {}
                // A peer that cannot do it is worth a line; our own failure ends the measurement.
                Err(error) if tool.is_peer() => {
                    eprintln!("{} {}: {error}", workload.id(), tool.name());
                }
                Err(error) => return Err(error),
            }
        }
    }
    println!("{}", report.table());
    if let Some(path) = &options.json {
        std::fs::write(path, report.json())?;
    }
    match report.missed() {
        missed if options.enforce && !missed.is_empty() => Err(missed.join("\n").into()),
        _ => Ok(()),
    }
}

/// Runs one tool through one workload; `None` when the tool has no such thing.
fn measure_row(
    tool: &Tool,
    workload: &Workload,
    place: &Path,
    samples: usize,
) -> Result<Option<Row>, Box<dyn Error>> {
    let folder = place.join(format!("{}-{}", tool.name(), workload.id()));
    std::fs::create_dir_all(&folder)?;
    if !tool.prepare(workload, &folder)? {
        return Ok(None);
    }
    let mut taken: Vec<Sample> = Vec::with_capacity(samples);
    for number in 0..samples {
        let command = tool.command(workload, &folder, number);
        taken.push(measure::run(&command, &folder)?);
    }
    Ok(Some(Row::new(tool.name(), workload, taken)))
}
