//! What of a step's log goes into the trail: the tail, bounded.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::event::LogRef;

/// Most bytes of one log file in the trail.
pub(super) const LOG_CAP: u64 = 64 * 1024;

/// The text of a log for the trail. A file that is gone or unreadable is said, not left out.
pub(super) fn excerpt(folder: &Path, log: &LogRef) -> Vec<u8> {
    match tail(&folder.join(&log.file), log.bytes) {
        Ok(bytes) => bytes,
        Err(error) => format!(
            "[the log could not be read: {error}; its last attempt had {} bytes with {}]\n",
            log.bytes, log.digest
        )
        .into_bytes(),
    }
}

/// Whether a name from the journal is a plain file name, which cannot lead out of the folder.
pub(super) fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = matches!(parts.next(), Some(std::path::Component::Normal(_)));
    plain && parts.next().is_none() && !name.contains('/') && name != ".git"
}

/// `last` bytes are of the last attempt: they are kept whole when they fit, so that they can be held to
/// their digest.
fn tail(path: &Path, last: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let whole = file.metadata()?.len();
    let skipped = whole.saturating_sub(LOG_CAP);
    file.seek(SeekFrom::Start(skipped))?;
    let mut kept = Vec::new();
    // The log may still grow while it is read.
    file.take(LOG_CAP).read_to_end(&mut kept)?;
    if skipped == 0 {
        return Ok(kept);
    }
    let last = usize::try_from(last).unwrap_or(usize::MAX);
    let start = match kept.len().checked_sub(last) {
        Some(attempt) => whole_line_start(&kept).min(attempt),
        None => whole_line_start(&kept),
    };
    let cut = skipped + start as u64;
    let mut out = format!("[the first {cut} of {whole} bytes are cut]\n").into_bytes();
    out.extend_from_slice(&kept[start..]);
    Ok(out)
}

/// Where the first whole line begins; without any, the first whole character.
fn whole_line_start(bytes: &[u8]) -> usize {
    let line = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map(|at| at + 1);
    let character = || {
        bytes
            .iter()
            .position(|byte| byte & 0b1100_0000 != 0b1000_0000)
    };
    line.filter(|at| *at < bytes.len())
        .or_else(character)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;

    fn excerpt_of(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("a.log"), bytes).expect("writes");
        let log = LogRef {
            file: "a.log".to_owned(),
            bytes: bytes.len() as u64,
            digest: Digest::of_bytes(bytes),
        };
        String::from_utf8(excerpt(dir.path(), &log)).expect("text")
    }

    #[test]
    fn a_short_log_is_kept_whole() {
        assert_eq!(excerpt_of(b"one\ntwo"), "one\ntwo");
    }

    #[test]
    fn of_a_long_log_whole_lines_at_the_end_are_kept_and_the_cut_is_said() {
        let text: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        let kept = excerpt_of(text.as_bytes());
        let (first, rest) = kept.split_once('\n').expect("lines");
        assert!(text.ends_with(rest));
        assert!(rest.starts_with("line "));
        let cut = text.len() - rest.len();
        assert_eq!(
            first,
            format!("[the first {cut} of {} bytes are cut]", text.len())
        );
        assert!(rest.len() as u64 <= LOG_CAP && rest.len() as u64 > LOG_CAP - 20);
    }

    #[test]
    fn one_endless_line_is_cut_between_characters() {
        let kept = excerpt_of("aü".repeat(40_000).as_bytes());
        assert!(kept.len() as u64 > LOG_CAP, "{}", kept.len());
    }

    #[test]
    fn a_log_that_is_gone_is_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = LogRef {
            file: "gone.log".to_owned(),
            bytes: 5,
            digest: Digest::of_bytes(b"x"),
        };
        let text = String::from_utf8(excerpt(dir.path(), &log)).expect("text");
        assert!(
            text.contains("could not be read") && text.contains("5 bytes"),
            "{text}"
        );
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for bad in ["", ".", "..", "../a", "/a", "a/b", "a/", ".git"] {
            assert!(!is_plain_name(bad), "{bad}");
        }
        assert!(is_plain_name("restart.undo.log"));
    }
}
