//! Redaction of a stream that comes in pieces.

use zeroize::Zeroizing;

use super::redactor::Redactor;
use super::wrapped::run_at_end;

/// How much more than twice the longest form is kept before what is surely redacted is let go.
const SLACK: usize = 64 * 1024;

/// One stream on its way. Only an end that may be the beginning of a secret is held back, so complete
/// lines are passed on at once.
#[derive(Debug, Default)]
pub struct RedactedStream {
    held: Zeroizing<Vec<u8>>,
    /// So many bytes at the front of `held` belong to a secret whose name is written already.
    covered: usize,
    /// What was written last, when nothing else followed it yet.
    label: Option<String>,
    /// So many encoded letters stand directly before `held`.
    run: usize,
}

impl RedactedStream {
    /// Takes the next bytes; gives what may be passed on.
    pub fn push(&mut self, redactor: &Redactor, bytes: &[u8]) -> Vec<u8> {
        if redactor.is_empty() && self.held.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let joined = redactor.joined(&self.held, self.run);
        let mut keep = redactor.beginning(&self.held, joined.as_ref());
        let places = redactor.places(&self.held, joined.as_ref());
        // A secret that reaches into what is held back may grow.
        for (range, _) in places.iter().rev() {
            if range.end > keep {
                keep = keep.min(range.start);
            }
        }
        let most = 2 * redactor.longest() + SLACK;
        if self.held.len() - keep > most {
            // A secret that repeats itself for ever: what is before the last possible beginning is
            // redacted for certain.
            keep = self.held.len() - redactor.longest();
        }
        self.pass(&places, keep)
    }

    /// Ends the stream; gives what was held back.
    pub fn finish(&mut self, redactor: &Redactor) -> Vec<u8> {
        let joined = redactor.joined(&self.held, self.run);
        let places = redactor.places(&self.held, joined.as_ref());
        self.pass(&places, self.held.len())
    }

    /// Gives everything before `end`, redacted, and keeps the rest.
    fn pass(&mut self, places: &[(std::ops::Range<usize>, &str)], end: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(end);
        let mut covered = self.covered;
        for (range, label) in places {
            if range.start >= end {
                break;
            }
            let goes_on = range.start < covered
                || (range.start == covered && self.label.as_deref() == Some(*label));
            if !goes_on {
                out.extend_from_slice(&self.held[covered..range.start]);
                out.extend_from_slice(label.as_bytes());
                self.label = Some((*label).to_owned());
            }
            covered = covered.max(range.end);
        }
        if covered < end {
            out.extend_from_slice(&self.held[covered..end]);
            self.label = None;
        }
        self.run = run_at_end(&self.held[..end], self.run);
        self.held.drain(..end);
        self.covered = covered.saturating_sub(end);
        out
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use secrecy::SecretString;

    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        let named = secrets.iter().enumerate();
        Redactor::new(
            &named
                .map(|(at, text)| (format!("s{at}"), SecretString::from(*text)))
                .collect::<BTreeMap<_, _>>(),
        )
    }

    fn through(redactor: &Redactor, pieces: &[&[u8]]) -> String {
        let mut stream = RedactedStream::default();
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(stream.push(redactor, piece));
        }
        out.extend(stream.finish(redactor));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_secret_in_pieces_is_found_and_lines_are_not_held_back() {
        let redactor = redactor(&["hunter2"]);
        let mut stream = RedactedStream::default();
        assert_eq!(stream.push(&redactor, b"a line\nhun"), b"a line\n");
        assert_eq!(stream.push(&redactor, b"ter"), b"");
        assert_eq!(stream.push(&redactor, b"2 and\n"), b"[redacted s0] and\n");
        assert_eq!(stream.push(&redactor, b"hunted\n"), b"hunted\n");
        assert_eq!(stream.push(&redactor, b"hunter"), b"");
        assert_eq!(stream.finish(&redactor), b"hunter");
    }

    #[test]
    fn a_secret_that_repeats_for_ever_takes_no_memory() {
        let redactor = redactor(&["aaaaaaaa"]);
        let mut stream = RedactedStream::default();
        let mut out = Vec::new();
        for _ in 0..200 {
            out.extend(stream.push(&redactor, &[b'a'; 4096]));
            assert!(stream.held.len() < 2 * SLACK);
        }
        out.extend(stream.push(&redactor, b" end"));
        out.extend(stream.finish(&redactor));
        assert_eq!(String::from_utf8_lossy(&out), "[redacted s0] end");
    }

    #[test]
    fn an_encoded_secret_in_lines_and_pieces_is_found() {
        let secret = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(4);
        let redactor = redactor(&[&secret]);
        let engine = base64::engine::general_purpose::STANDARD;
        let encoded = base64::Engine::encode(&engine, &secret);
        let lines: Vec<&str> = (0..encoded.len().div_ceil(76))
            .map(|n| &encoded[n * 76..encoded.len().min((n + 1) * 76)])
            .collect();
        let text = format!("key:\n  {}\nend\n", lines.join("\n  "));
        for size in 1..100 {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            assert_eq!(through(&redactor, &pieces), "key:\n  [redacted s0]\nend\n");
        }
    }

    /// `cargo test --release -- --ignored --nocapture how_fast`; about the speed of a disk is enough.
    #[test]
    #[ignore = "a measurement"]
    fn how_fast() {
        let secrets: Vec<String> = (0..10)
            .map(|n| format!("s3cret-{n}-{}", "xY9".repeat(n + 3)))
            .collect();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let redactor = redactor(&secrets);
        let line = b"2026-11-23T23:06:28Z info request 8f3a99c1 took 13 ms from 10.1.2.3 to /api/items?x=1\n";
        let chunk: Vec<u8> = line.iter().copied().cycle().take(8 * 1024).collect();
        for redactor in [&Redactor::default(), &redactor] {
            let begin = std::time::Instant::now();
            let mut stream = RedactedStream::default();
            let mut bytes = 0;
            for _ in 0..(100 << 20) / chunk.len() {
                bytes += stream.push(redactor, &chunk).len();
            }
            println!("{redactor:?}: {bytes} bytes in {:?}", begin.elapsed());
        }
    }

    #[test]
    fn nothing_known_holds_nothing_back() {
        let redactor = Redactor::default();
        assert_eq!(RedactedStream::default().push(&redactor, b"abc"), b"abc");
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(
            text in "[ab\n]{0,60}",
            secrets in proptest::collection::vec("[ab]{4,8}", 1..3),
            cuts in proptest::collection::vec(0usize..60, 0..12),
        ) {
            let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
            let redactor = redactor(&secrets);
            let whole = through(&redactor, &[text.as_bytes()]);
            prop_assert_eq!(&whole, &redactor.text(&text));
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(through(&redactor, &pieces), whole);
            for secret in secrets {
                prop_assert!(!redactor.text(&text).contains(secret));
            }
        }
    }
}
