//! Reading a log from an offset or a point in time, in bounded memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::base::Timestamp;
use crate::handlers::service::provider::LogQuery;

/// Longest piece of a line that is looked at as one.
const LINE_BYTES: u64 = 64 * 1024;
/// Longest text of a line that is given back, in characters.
const SAMPLE_CHARS: usize = 500;

/// What a scan found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scan {
    pub(super) lines: u64,
    pub(super) matched: u64,
    pub(super) sample: Vec<String>,
}

/// Scans a log. Without `query.since`, from `offset` on (from 0 when the log is shorter now, so
/// that it must have been started anew).
pub(super) fn scan(path: &Path, offset: u64, query: &LogQuery) -> io::Result<Scan> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Scan::default()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    if query.since.is_none() && offset <= length {
        file.seek(SeekFrom::Start(offset))?;
    }
    // What is appended meanwhile is left for the next scan: a busy log must not keep us for ever.
    let end = length.saturating_sub(file.stream_position()?);
    scan_lines(BufReader::new(file.take(end)), query)
}

fn scan_lines(mut reader: impl BufRead, query: &LogQuery) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let mut sample: VecDeque<String> = VecDeque::new();
    let mut bytes = Vec::new();
    let mut wanted = query.since.is_none();
    loop {
        bytes.clear();
        if reader
            .by_ref()
            .take(LINE_BYTES)
            .read_until(b'\n', &mut bytes)?
            == 0
        {
            break;
        }
        let text = String::from_utf8_lossy(&bytes);
        let line = text.trim_end();
        if let (Some(since), Some(at)) = (query.since, time_of(line)) {
            wanted = at >= since;
        }
        if !wanted {
            continue;
        }
        scan.lines += 1;
        if query
            .pattern
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(line))
        {
            scan.matched += 1;
            if sample.len() == query.limit {
                sample.pop_front();
            }
            if query.limit > 0 {
                sample.push_back(line.chars().take(SAMPLE_CHARS).collect());
            }
        }
    }
    scan.sample = sample.into();
    Ok(scan)
}

/// The RFC 3339 timestamp that a line begins with.
fn time_of(line: &str) -> Option<Timestamp> {
    let first = line.split_ascii_whitespace().next()?;
    // Cheap test first: parsing every line of a large log would take long.
    if !first.starts_with(|c: char| c.is_ascii_digit()) || first.len() < 20 {
        return None;
    }
    first.parse().ok()
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    const LOG: &str = "\
2026-11-23T03:00:00.000Z INFO start
2026-11-23T03:00:01.000Z ERROR one
  at line 7
2026-11-23T03:00:02.000Z ERROR two
2026-11-23T03:00:03.000Z INFO end
";

    fn query(since: Option<&str>, pattern: Option<&str>, limit: usize) -> LogQuery {
        LogQuery {
            since: since.map(|text| text.parse().expect("valid")),
            pattern: pattern.map(|text| Regex::new(text).expect("valid")),
            limit,
        }
    }

    #[test]
    fn counts_and_keeps_the_last_matches() {
        let scan = scan_lines(LOG.as_bytes(), &query(None, Some("ERROR"), 1)).expect("read");
        assert_eq!((scan.lines, scan.matched), (5, 2));
        assert_eq!(scan.sample, ["2026-11-23T03:00:02.000Z ERROR two"]);
    }

    #[test]
    fn a_line_without_a_time_belongs_to_the_line_above() {
        let query = query(Some("2026-11-23T03:00:01Z"), None, 10);
        let scan = scan_lines(LOG.as_bytes(), &query).expect("read");
        assert_eq!((scan.lines, scan.matched), (4, 4));
        assert_eq!(scan.sample[1], "  at line 7");
    }

    #[test]
    fn reads_from_the_offset_unless_the_log_was_begun_anew() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("log");
        let all = query(None, None, 0);
        assert_eq!(
            scan(&path, 5, &all).expect("no log is fine"),
            Scan::default()
        );
        std::fs::write(&path, "old\nnew\n").expect("written");
        assert_eq!(scan(&path, 4, &all).expect("read").lines, 1);
        assert_eq!(scan(&path, 8, &all).expect("read").lines, 0);
        assert_eq!(scan(&path, 900, &all).expect("read").lines, 2);
    }

    #[test]
    fn an_endless_line_is_read_in_pieces() {
        let text = "x".repeat(LINE_BYTES as usize * 2 + 1);
        let scan = scan_lines(text.as_bytes(), &query(None, None, 5)).expect("read");
        assert_eq!(scan.lines, 3);
        assert!(scan.sample.iter().all(|line| line.len() <= SAMPLE_CHARS));
    }
}
