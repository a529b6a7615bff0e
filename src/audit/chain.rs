//! The chain through `events.jsonl`: every line begins with the digest of the line before it.
//!
//! The first line names the digest of `plan.json` followed by `runbook.yaml`, so the digest of the last
//! line stands for all of a run but its logs. Stock `sha256sum` can follow it (`docs/audit.md`).

use super::error::AuditError;
use crate::base::Digest;
use crate::event::RunEvent;

/// How a line of the chain begins, up to the digest.
const START: &[u8] = b"{\"prev\":\"";

/// Bytes of a digest as text: `sha256:` and 64 hex digits.
const DIGEST_LEN: usize = 71;

/// What the first line names.
pub(super) fn root(plan_json: &[u8], source: &[u8]) -> Digest {
    Digest::of_bytes(&[plan_json, source].concat())
}

/// An event as a line after the line (or root) with that digest, without its line feed.
pub(super) fn line(prev: Digest, event: &RunEvent) -> Result<Vec<u8>, AuditError> {
    let json = serde_json::to_vec(event)?;
    let mut line = START.to_vec();
    line.extend_from_slice(prev.to_string().as_bytes());
    line.extend_from_slice(b"\",");
    line.extend_from_slice(json.get(1..).unwrap_or_default());
    Ok(line)
}

/// What a line names as the one before it; `None`: it was written before there was a chain.
pub(super) fn prev_of(line: &[u8]) -> Option<Digest> {
    let digest = line.strip_prefix(START)?.get(..DIGEST_LEN)?;
    std::str::from_utf8(digest).ok()?.parse().ok()
}

/// The lines of a file, without their line feeds. What follows the last line feed is no line.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_suffix(b"\n"))
}

/// The digest of the last line; of no lines, none.
pub(super) fn head(bytes: &[u8]) -> Option<Digest> {
    let whole = bytes.strip_suffix(b"\n")?;
    let last = whole.rsplit(|byte| *byte == b'\n').next()?;
    Some(Digest::of_bytes(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples::{created, event, run_id, started};

    #[test]
    fn a_line_names_the_bytes_before_it() {
        let run = run_id(1);
        let root = root(b"plan", b"source");
        assert_eq!(root, Digest::of_bytes(b"plansource"));
        let first = line(root, &event(run, 1, created())).expect("encodes");
        assert_eq!(prev_of(&first), Some(root));
        let second = line(Digest::of_bytes(&first), &event(run, 2, started("a"))).expect("encodes");
        assert_eq!(prev_of(&second), Some(Digest::of_bytes(&first)));
        let decoded: RunEvent = serde_json::from_slice(&second).expect("an event still");
        assert_eq!(decoded, event(run, 2, started("a")));
        let file = [first.as_slice(), b"\n", &second, b"\n"].concat();
        assert_eq!(lines(&file).collect::<Vec<_>>(), [&first[..], &second[..]]);
        assert_eq!(head(&file), Some(Digest::of_bytes(&second)));
        assert_eq!(head(b""), None);
        assert_eq!(prev_of(b"{\"run\":1}"), None);
        assert_eq!(prev_of(b"{\"prev\":\"sha256:00\",\"run\":1}"), None);
    }
}
