//! One line per event on standard output: time, level, text.

use std::io::Write as _;
use std::time::SystemTime;

/// How bad an event is.
#[derive(Clone, Copy)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// Writes a line. A log that cannot be written must not stop the service, so errors are dropped.
pub(crate) fn line(level: Level, text: &str) {
    raw(&format!("{} {} {text}\n", timestamp(), level.as_str()));
}

/// Writes text as it is, in one piece, so that lines of several threads do not mix.
pub(crate) fn raw(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[expect(
    clippy::disallowed_methods,
    reason = "this program is an example service, not a part of the library"
)]
fn timestamp() -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_millis(SystemTime::now())
}
