//! Logs: what an attempt printed is what its end says that it printed.

use std::collections::BTreeMap;

use super::contents::Recorded;
use super::report::Place;
use super::tree::bytes;
use crate::audit::files::log_of;
use crate::audit::logs::{LOG_CAP, is_plain_name};
use crate::base::Digest;
use crate::event::LogRef;

/// How an excerpt begins whose log was gone when it was to be recorded.
const GONE: &[u8] = b"[the log could not be read: ";

pub(super) fn check(recorded: &Recorded<'_>, place: &mut Place<'_>) -> Result<(), git2::Error> {
    let mut named: BTreeMap<&str, Vec<&LogRef>> = BTreeMap::new();
    for log in recorded
        .events
        .iter()
        .filter_map(|event| log_of(&event.event))
    {
        if is_plain_name(&log.file) {
            named.entry(&log.file).or_default().push(log);
        }
    }
    for (name, attempts) in &named {
        let found = bytes(recorded.git, recorded.folder, &format!("logs/{name}"))?;
        match found {
            None => place.broken(format!("`logs/{name}` is missing")),
            Some(text) if text.starts_with(GONE) => {
                place.note(format!("`logs/{name}` was gone when it was to be recorded"));
            }
            Some(text) if is_of(&text, attempts) => {}
            Some(_) => place.broken(format!(
                "`logs/{name}` is not what the step printed: the digest of its last attempt is another"
            )),
        }
    }
    if let Ok(entry) = recorded.folder.get_path(std::path::Path::new("logs")) {
        for entry in &recorded.git.find_tree(entry.id())? {
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            if !named.contains_key(name.as_str()) {
                place.broken(format!(
                    "`logs/{name}` belongs to no attempt among its events"
                ));
            }
        }
    }
    Ok(())
}

/// Whether a text ends with what the last attempt printed, or has it where it must be. A text that was
/// cut inside of it is protected by the history alone.
fn is_of(text: &[u8], attempts: &[&LogRef]) -> bool {
    let Some(last) = attempts.last() else {
        return false;
    };
    let before: u64 = attempts.iter().rev().skip(1).map(|log| log.bytes).sum();
    let (cut, kept) = match cut_of(text) {
        Some((cut, whole, kept)) if cut + kept.len() as u64 == whole => (cut, kept),
        // A cut that does not add up is somebody's words.
        Some(_) => return false,
        None => (0, text),
    };
    let Ok(size) = usize::try_from(last.bytes) else {
        return true;
    };
    if size > kept.len() {
        // What fits is kept whole.
        return cut > 0 && last.bytes > LOG_CAP;
    }
    let window = |start: usize| {
        kept.get(start..start.saturating_add(size))
            .is_some_and(|part| Digest::of_bytes(part) == last.digest)
    };
    // Usually it is the end; a later attempt that was killed may have printed more.
    let placed = before
        .checked_sub(cut)
        .and_then(|at| usize::try_from(at).ok());
    window(kept.len() - size) || placed.is_some_and(window)
}

/// How much was cut off of how much, and what was kept.
fn cut_of(text: &[u8]) -> Option<(u64, u64, &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(text.get(..end)?).ok()?;
    let numbers = line
        .strip_prefix("[the first ")?
        .strip_suffix(" bytes are cut]")?;
    let (cut, whole) = numbers.split_once(" of ")?;
    Some((cut.parse().ok()?, whole.parse().ok()?, text.get(end + 1..)?))
}
