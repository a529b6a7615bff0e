//! `--output json`: the journal's own events, one a line.

use std::io::{self, Write};

use crate::event::{Progress, RunEvent};

/// Writes an event as one line of JSON, exactly as it is stored.
///
/// # Errors
/// When the writer fails.
pub fn write_event(out: &mut dyn Write, event: &RunEvent) -> io::Result<()> {
    // JSON escapes every control character, so a line is a line and no terminal is moved.
    let mut line = serde_json::to_string(event)?;
    line.push('\n');
    out.write_all(line.as_bytes())
}

/// Writes progress: a durable event as one line, transient output not at all.
///
/// # Errors
/// When the writer fails.
pub fn write_progress(out: &mut dyn Write, progress: &Progress) -> io::Result<()> {
    match progress {
        Progress::Event(event) => write_event(out, event),
        Progress::Output { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;

    #[test]
    fn lines_read_back_as_the_same_events() {
        let story = fixtures::stuck();
        let mut out = Vec::new();
        for event in &story.events {
            write_event(&mut out, event).expect("written");
        }
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(!text.contains('\x1b'));
        let read: Vec<RunEvent> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("an event"))
            .collect();
        assert_eq!(read, story.events);
    }
}
