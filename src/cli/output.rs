//! Where text goes: data to standard output, everything else to standard error.

use std::fmt;
use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::error::CliError;

/// The form of the data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON value a line.
    Json,
}

/// Writes for a command. A reader that went away ends the command quietly.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    /// The form of the data.
    pub format: OutputFormat,
    /// Whether notes are left out.
    pub quiet: bool,
}

impl Printer {
    /// Whether data is written as JSON.
    pub fn is_json(self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Writes a line of data.
    ///
    /// # Errors
    /// A broken pipe, or what else standard output says.
    pub fn line(self, text: impl fmt::Display) -> Result<(), CliError> {
        self.raw(format!("{text}\n").as_bytes())
    }

    /// Writes a value as a line of JSON.
    ///
    /// # Errors
    /// A broken pipe, or what else standard output says.
    pub fn json(self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value)
            .map_err(|error| CliError::bug(format!("output is not JSON: {error}")))?;
        self.line(text)
    }

    /// Writes data as it is.
    ///
    /// # Errors
    /// A broken pipe, or what else standard output says.
    pub fn raw(self, bytes: &[u8]) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .map_err(CliError::output)
    }

    /// Writes a line that is no data, unless quiet. That standard error is gone stops nothing.
    pub fn note(self, text: impl fmt::Display) {
        if !self.quiet {
            write_error(text);
        }
    }
}

/// Writes a line to standard error. If that fails there is nobody left to tell.
pub(super) fn write_error(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
