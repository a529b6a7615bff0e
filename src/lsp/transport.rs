//! Messages over a pair of byte streams, each framed by a `Content-Length` header.
//!
//! The streams of `lsp-server` end at the first message that is no JSON, and make room for whatever
//! length a header names. Ours go on, and bound it.

use std::io::{self, BufRead, Read, Write};
use std::thread::JoinHandle;

use lsp_server::{Connection, Message, Notification};
use serde_json::json;

use crate::base::Value;

/// The largest message that is read: a document of the largest permitted size, escaped.
const MAX_MESSAGE: usize = 64 << 20;
/// The longest line of a header.
const MAX_HEADER: u64 = 8 << 10;

/// Tells the server, in its own process only, that something came that is no message.
pub(super) const MALFORMED: &str = "$/runbook/malformed";

/// Reads and writes messages in threads of their own.
pub(super) fn connect(
    reader: impl BufRead + Send + 'static,
    writer: impl Write + Send + 'static,
) -> (Connection, JoinHandle<io::Result<()>>) {
    let (server, client) = Connection::memory();
    let Connection { sender, receiver } = client;
    std::thread::spawn(move || {
        let mut reader = reader;
        while let Some(message) = next(&mut reader) {
            let last = matches!(&message, Message::Notification(n) if n.method == "exit");
            if sender.send(message).is_err() || last {
                break;
            }
        }
    });
    let writing = std::thread::spawn(move || {
        let mut writer = writer;
        receiver
            .into_iter()
            .try_for_each(|message| message.write(&mut writer))
    });
    (server, writing)
}

/// The next message; `None` at the end of the stream.
fn next(reader: &mut impl BufRead) -> Option<Message> {
    match read_body(reader) {
        Ok(Some(body)) => Some(message(&body)),
        Ok(None) | Err(Broken::Stream) => None,
        Err(Broken::Header(why)) => Some(malformed(why, None)),
    }
}

enum Broken {
    /// Nothing more can be read.
    Stream,
    /// This header makes no sense; the next one may.
    Header(String),
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Stream
    }
}

fn read_body(reader: &mut impl BufRead) -> Result<Option<Vec<u8>>, Broken> {
    let mut size = None;
    loop {
        let mut line = Vec::new();
        if reader.take(MAX_HEADER).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.trim().eq_ignore_ascii_case("content-length")
        {
            size = Some(value.trim().to_owned());
        }
    }
    let Some(text) = size else {
        return Err(Broken::Header("a message has no Content-Length".to_owned()));
    };
    let size = text
        .parse::<usize>()
        .ok()
        .filter(|size| *size <= MAX_MESSAGE);
    let Some(size) = size else {
        return Err(Broken::Header(format!(
            "Content-Length must be a number up to {MAX_MESSAGE}, not {text:?}"
        )));
    };
    // Grows with what really comes, not with what the header promises.
    let mut body = Vec::new();
    let read = reader.take(size as u64).read_to_end(&mut body)?;
    Ok((read == size).then_some(body))
}

fn message(body: &[u8]) -> Message {
    match serde_json::from_slice(body) {
        Ok(message) => message,
        Err(error) => {
            let id = serde_json::from_slice::<Value>(body)
                .ok()
                .and_then(|value| value.get("id").cloned());
            malformed(format!("this is no message: {error}"), id)
        }
    }
}

fn malformed(why: String, id: Option<Value>) -> Message {
    Message::Notification(Notification {
        method: MALFORMED.to_owned(),
        params: json!({ "why": why, "id": id }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }

    fn methods(stream: &str) -> Vec<String> {
        let mut reader = io::Cursor::new(stream.as_bytes().to_vec());
        std::iter::from_fn(|| next(&mut reader))
            .map(|message| match message {
                Message::Notification(it) => it.method,
                Message::Request(it) => format!("request {}", it.method),
                Message::Response(_) => "response".to_owned(),
            })
            .collect()
    }

    #[test]
    fn what_is_no_message_does_not_end_the_stream() {
        let good = frame(r#"{"jsonrpc":"2.0","method":"x"}"#);
        for bad in [
            frame("{"),
            frame("5"),
            frame(r#"{"id":7,"method":5}"#),
            "Content-Length: five\r\n\r\n".to_owned(),
            "Content-Length: 99999999999999999999\r\n\r\n".to_owned(),
            "X: y\r\n\r\n".to_owned(),
        ] {
            let found = methods(&format!("{bad}{good}"));
            assert_eq!(found, [MALFORMED, "x"], "{bad:?}");
        }
    }

    #[test]
    fn a_message_that_breaks_off_ends_the_stream() {
        assert_eq!(methods("Content-Length: 100\r\n\r\n{}"), [""; 0]);
        assert_eq!(methods("Content-Le"), [MALFORMED; 0]);
        assert_eq!(methods(""), [""; 0]);
    }

    #[test]
    fn headers_are_read_in_any_case_and_order() {
        let body = r#"{"id":1,"method":"m"}"#;
        let text = format!(
            "content-type: x\r\nCONTENT-LENGTH:{}\r\nother: 1\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(methods(&text), ["request m"]);
    }
}
