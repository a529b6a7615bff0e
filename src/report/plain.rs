//! A run as a plain log.

use std::collections::HashMap;
use std::io::{self, Write};

use super::style::Style;
use super::text::{LINE_BYTES, output_line, pad};
use crate::base::{StepId, Timestamp};
use crate::event::Stream;

/// A log: every line with the time, output with its step.
pub(super) struct Plain {
    out: Box<dyn Write + Send>,
    ids: usize,
    open: HashMap<(StepId, Stream), String>,
}

impl Plain {
    pub(super) fn new(out: Box<dyn Write + Send>, ids: usize) -> Self {
        Self {
            out,
            ids,
            open: HashMap::new(),
        }
    }

    pub(super) fn lines(&mut self, lines: &[String], at: Timestamp) -> io::Result<()> {
        for line in lines {
            writeln!(self.out, "{} {line}", stamp(at))?;
        }
        Ok(())
    }

    pub(super) fn output(
        &mut self,
        step: &StepId,
        stream: Stream,
        text: &str,
        now: Timestamp,
        style: Style,
    ) -> io::Result<()> {
        let key = (step.clone(), stream);
        let mut open = self.open.remove(&key).unwrap_or_default();
        let mut rest = text;
        while let Some(end) = rest.find('\n') {
            open.push_str(&rest[..end]);
            self.output_line(step, &open, now, style)?;
            open.clear();
            rest = &rest[end + 1..];
        }
        open.push_str(rest);
        if open.len() > LINE_BYTES {
            self.output_line(step, &open, now, style)?;
            open.clear();
        }
        if !open.is_empty() {
            self.open.insert(key, open);
        }
        Ok(())
    }

    fn output_line(
        &mut self,
        step: &StepId,
        line: &str,
        at: Timestamp,
        style: Style,
    ) -> io::Result<()> {
        let id = pad(step.as_str(), self.ids);
        let text = output_line(line, style);
        let line = format!("{} {id} | {text}", stamp(at));
        writeln!(self.out, "{}", line.trim_end())
    }

    /// Writes a last line that had no line end.
    pub(super) fn close(&mut self, step: &StepId, now: Timestamp, style: Style) -> io::Result<()> {
        for stream in [Stream::Out, Stream::Err] {
            if let Some(open) = self.open.remove(&(step.clone(), stream)) {
                self.output_line(step, &open, now, style)?;
            }
        }
        Ok(())
    }

    /// Writes every last line that had no line end.
    pub(super) fn close_all(&mut self, now: Timestamp, style: Style) -> io::Result<()> {
        let mut steps: Vec<StepId> = self.open.keys().map(|(step, _)| step.clone()).collect();
        steps.sort_unstable();
        steps.dedup();
        for step in &steps {
            self.close(step, now, style)?;
        }
        self.out.flush()
    }
}

fn stamp(at: Timestamp) -> String {
    at.to_utc().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
