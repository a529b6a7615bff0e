//! `--output json`: the journal's own events, one a line.

use std::io::{self, Write};

use serde::Serialize;

use super::text::is_hostile;
use crate::event::{Progress, RunEvent};

/// Writes a value as one line of JSON.
///
/// # Errors
/// When the writer fails, or the value cannot be JSON.
pub fn write_json_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_string(value)?;
    let mut line = String::with_capacity(json.len() + 1);
    let mut units = [0; 2];
    for c in json.chars() {
        // JSON escapes U+0000 to U+001F only; these stand in strings alone, where an escape means the same.
        if is_hostile(c) {
            for unit in c.encode_utf16(&mut units) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    out.write_all(line.as_bytes())
}

/// Writes an event as one line of JSON, in the form in which it is stored.
///
/// # Errors
/// When the writer fails.
pub fn write_event(out: &mut dyn Write, event: &RunEvent) -> io::Result<()> {
    write_json_line(out, event)
}

/// Writes progress: a durable event or a warning as one line, transient output not at all.
///
/// # Errors
/// When the writer fails.
pub fn write_progress(out: &mut dyn Write, progress: &Progress) -> io::Result<()> {
    match progress {
        Progress::Event(event) => write_event(out, event),
        Progress::Warning { text } => write_json_line(out, &serde_json::json!({ "warning": text })),
        Progress::Output { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;

    #[test]
    fn no_control_character_is_passed_on() {
        let text = "\u{9b}31m \u{7f} \u{202e} \u{e0041} \n";
        let mut out = Vec::new();
        write_json_line(&mut out, &text).expect("written");
        let line = String::from_utf8(out).expect("UTF-8");
        assert!(line.trim_end().is_ascii(), "{line}");
        assert_eq!(
            serde_json::from_str::<String>(&line).expect("a string"),
            text
        );
    }

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
