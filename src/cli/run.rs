//! From the arguments to an exit code.

use std::ffi::OsString;
use std::panic::{self, PanicHookInfo, UnwindSafe};

use clap::error::ErrorKind as ClapErrorKind;
use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _};

use super::args::Cli;
use super::commands;
use super::context::Context;
use super::error::{CliError, ErrorKind};
use super::exit::ExitStatus;
use super::output::{Printer, write_error};
use crate::report::{Style, diagnostics_text};
use crate::settings::{Settings, Variables};

/// Runs one command, from its arguments (the program's name first) to its exit code.
pub fn run(arguments: Vec<OsString>) -> ExitStatus {
    panic::set_hook(Box::new(report_panic));
    guarded(|| parse_and_run(arguments))
}

/// A panic is a mistake of ours, with an exit code of its own.
fn guarded(command: impl FnOnce() -> ExitStatus + UnwindSafe) -> ExitStatus {
    panic::catch_unwind(command).unwrap_or(ExitStatus::BUG)
}

fn parse_and_run(arguments: Vec<OsString>) -> ExitStatus {
    let json = asks_for_json(&arguments);
    let cli = match parse(arguments) {
        Ok(cli) => cli,
        Err(error) => return report_usage(&error, json),
    };
    let out = cli.global.printer();
    let settings = match Settings::resolve(cli.global.overrides(), Variables::read()) {
        Ok(settings) => settings,
        Err(error) => return report(&error.into(), out, Style::plain(100)),
    };
    let context = Context { settings, out };
    start_tracing(context.settings.log.as_deref())
        .and_then(|()| commands::dispatch(&context, &cli.command))
        .unwrap_or_else(|error| report(&error, out, context.style_of_errors()))
}

/// `--no-color` must hold for the messages about the command line itself, so it is looked for first.
fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let plain = arguments.iter().any(|argument| argument == "--no-color");
    let mut command = Cli::command();
    if plain {
        command = command.color(ColorChoice::Never);
    }
    let matches = command.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Whether `--output json` is among arguments that may be wrong otherwise.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let pair = arguments
        .windows(2)
        .any(|two| two[0] == "--output" && two[1] == "json");
    pair || arguments.iter().any(|argument| argument == "--output=json")
}

/// Help and version are data; everything else is a mistake on the command line.
fn report_usage(error: &clap::Error, json: bool) -> ExitStatus {
    let wanted = matches!(
        error.kind(),
        ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion
    );
    if json && !wanted {
        write_error(usage_error(error).json());
        return ExitStatus::USAGE;
    }
    match error.print() {
        Err(problem) if wanted => CliError::output(problem).kind.status(),
        _ if wanted => ExitStatus::SUCCEEDED,
        _ => ExitStatus::USAGE,
    }
}

/// The first paragraph says what is wrong; usage and tips are for people.
fn usage_error(error: &clap::Error) -> CliError {
    let text = error.to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = what.split_whitespace().collect();
    let message = words.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    CliError::new(ErrorKind::Usage, message).next("runbook --help")
}

fn report(error: &CliError, out: Printer, style: Style) -> ExitStatus {
    if error.kind != ErrorKind::BrokenPipe {
        if out.is_json() {
            write_error(error.json());
        } else {
            // The findings end with their own summary, which is the error's message.
            match error.findings.is_empty() {
                true => write_error(error.text()),
                false => write_error(diagnostics_text(&error.findings, style).trim_end()),
            }
        }
    }
    error.kind.status()
}

fn start_tracing(filter: Option<&str>) -> Result<(), CliError> {
    let Some(filter) = filter else {
        return Ok(());
    };
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| {
        CliError::new(ErrorKind::Usage, "RUNBOOK_LOG is not a filter")
            .because(&error)
            .next("RUNBOOK_LOG=debug runbook …")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| CliError::bug(format!("tracing cannot be started: {error}")))
}

/// In place of a backtrace: what happened, where, and whose mistake it is.
fn report_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let place = info
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let version = env!("CARGO_PKG_VERSION");
    write_error(format_args!(
        "error: runbook {version} made a mistake at {place}: {message}\n  \
         next: report this with the command that was typed; what was recorded so far is safe: runbook runs"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_on_the_command_line_is_json_when_json_is_asked_for() {
        let arguments = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(asks_for_json(&arguments("runbook frob --output json")));
        assert!(asks_for_json(&arguments("runbook --output=json frob")));
        assert!(!asks_for_json(&arguments("runbook frob --output text")));
        for (line, message) in [
            ("runbook frob", "unrecognized subcommand 'frob'"),
            (
                "runbook exec",
                "the following required arguments were not provided: <RUNBOOK>",
            ),
        ] {
            let error = usage_error(&parse(arguments(line)).expect_err("a mistake"));
            assert_eq!(error.chain.message, message);
            assert_eq!(error.json()["error"]["exit_code"], 2);
        }
    }

    #[test]
    fn a_panic_ends_with_the_code_of_a_bug() {
        assert_eq!(guarded(|| ExitStatus::INVALID), ExitStatus::INVALID);
        assert_eq!(guarded(|| panic!("planted")), ExitStatus::BUG);
    }
}
