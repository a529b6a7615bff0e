//! Failed requests in words.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::Url;

use crate::base::{ErrorChain, HumanDuration};
use crate::event::FailureKind;
use crate::handler::StepError;

/// The failure of a request that got no (whole) answer. `what` such as `GET`; `limit` is its timeout.
pub(crate) fn request_failure(
    what: &str,
    url: &Url,
    error: &reqwest::Error,
    limit: Option<Duration>,
) -> StepError {
    let place = shown(url);
    if error.is_timeout() {
        let after = limit.map_or_else(String::new, |limit| {
            format!(" within {}", HumanDuration(limit))
        });
        return StepError::new(
            FailureKind::Timeout,
            format!("{what} {place}: no answer{after}"),
        )
        .hint("give it longer with `timeout`, or look why the server is slow");
    }
    if error.is_builder() {
        return with_causes(FailureKind::Invalid, format!("{what} {place}"), error);
    }
    let refused = io_kind(error) == Some(io::ErrorKind::ConnectionRefused);
    if refused {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        return StepError::new(
            FailureKind::Unavailable,
            format!("{what} {place}: connection refused"),
        )
        .hint(format!(
            "nothing listens on {host}:{port}; is the service up? try: curl -v {place}"
        ));
    }
    with_causes(
        FailureKind::Unavailable,
        format!("{what} {place} failed"),
        error,
    )
    .hint(format!("try it by hand: curl -v {place}"))
}

/// A URL without a password in it.
pub(super) fn without_password(url: &Url) -> Url {
    let mut url = url.clone();
    if url.password().is_some() {
        let _ = url.set_password(Some("***"));
    }
    url
}

/// A URL without a password in it and without its query, which may hold secrets.
pub(super) fn shown(url: &Url) -> String {
    let mut url = without_password(url);
    if url.query().is_some() {
        url.set_query(Some("..."));
    }
    url.to_string()
}

/// The client's own message repeats the URL with its query, so only its causes are told.
fn with_causes(kind: FailureKind, message: String, error: &reqwest::Error) -> StepError {
    match error.source() {
        Some(cause) => {
            let chain = ErrorChain::from_error(cause);
            let mut failure = StepError::new(kind, message);
            failure.0.error.causes.push(chain.message);
            failure.0.error.causes.extend(chain.causes);
            failure
        }
        None => StepError::new(kind, message),
    }
}

fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}
