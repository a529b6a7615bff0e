//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

/// Text of `--help`.
pub(crate) const HELP: &str = "\
The Stock AI Backend: a small HTTP service on loopback.

Usage: stock-backend [OPTIONS]

Options:
      --port PORT             Port to listen on; 0 takes a free one [default: 0]
      --address-file PATH     Write `host:port` there once listening
      --shutdown-timeout MS   How long requests in flight may take after TERM [default: 5000]
  -h, --help                  Print this help

Switches that make it fail, for tests and drills:
      --fail-start            Log an error and exit 1 instead of starting
      --never-healthy         Answer /health with 503 for ever
      --ignore-term           Ignore TERM and INT
      --exit-after MS         Log an error and exit 1 after so long
      --log-error             Log an ERROR line after starting
";

/// What the command line asks for.
pub(crate) enum Command {
    Help,
    Serve(Options),
}

/// The options of a server.
pub(crate) struct Options {
    pub(crate) port: u16,
    pub(crate) address_file: Option<PathBuf>,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) fail_start: bool,
    pub(crate) never_healthy: bool,
    pub(crate) ignore_term: bool,
    pub(crate) exit_after: Option<Duration>,
    pub(crate) log_error: bool,
}

impl Options {
    /// Reads the process's arguments.
    pub(crate) fn from_command_line() -> Result<Command, lexopt::Error> {
        let mut options = Self {
            port: 0,
            address_file: None,
            shutdown_timeout: Duration::from_secs(5),
            fail_start: false,
            never_healthy: false,
            ignore_term: false,
            exit_after: None,
            log_error: false,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("port") => options.port = parser.value()?.parse()?,
                Long("address-file") => options.address_file = Some(parser.value()?.into()),
                Long("shutdown-timeout") => {
                    options.shutdown_timeout = Duration::from_millis(parser.value()?.parse()?);
                }
                Long("fail-start") => options.fail_start = true,
                Long("never-healthy") => options.never_healthy = true,
                Long("ignore-term") => options.ignore_term = true,
                Long("exit-after") => {
                    options.exit_after = Some(Duration::from_millis(parser.value()?.parse()?));
                }
                Long("log-error") => options.log_error = true,
                Short('h') | Long("help") => return Ok(Command::Help),
                other => return Err(other.unexpected()),
            }
        }
        Ok(Command::Serve(options))
    }
}
