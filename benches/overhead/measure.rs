//! Runs a program and says how long it took and how much memory it held.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};

/// The argument that makes this program the helper of [`run`].
pub(crate) const HELPER: &str = "--measure-one";

/// A program with its arguments.
pub(crate) type CommandLine = Vec<String>;

/// One run of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// From start to end.
    pub(crate) seconds: f64,
    /// Most memory of it or of one of its children, in MiB.
    pub(crate) peak_mib: f64,
}

/// Runs a program in a folder, its output thrown away.
///
/// The kernel keeps the peak of all children of a process together, so each run gets a parent of
/// its own: this program again, as [`help`].
pub(crate) fn run(command: &CommandLine, folder: &Path) -> Result<Sample, Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?)
        .arg(HELPER)
        .args(command)
        .current_dir(folder)
        .env_remove("RUNBOOK_STATE_DIR")
        .env_remove("RUNBOOK_ENV")
        .env_remove("RUNBOOK_LOG")
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{}` failed:\n{said}", command.join(" ")).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let (seconds, kib) = text
        .trim()
        .split_once(' ')
        .ok_or("the helper said nothing")?;
    Ok(Sample {
        seconds: seconds.parse()?,
        peak_mib: kib.parse::<f64>()? / 1024.0,
    })
}

/// The helper: runs the program and prints seconds and KiB.
pub(crate) fn help(command: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let command: Vec<String> = command.collect();
    let (program, arguments) = command.split_first().ok_or("no program")?;
    // Kept in a file, not in a pipe: a pipe's reader would be measured, too.
    let said = File::create("stderr.log")?;
    let started = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(said)
        .status()?;
    let seconds = started.elapsed().as_secs_f64();
    if !status.success() {
        eprint!("{}", std::fs::read_to_string("stderr.log")?);
        return Err(format!("it ended with {status}").into());
    }
    let kib = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    println!("{seconds} {kib}");
    Ok(())
}
