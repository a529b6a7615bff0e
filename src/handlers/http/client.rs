//! The clients that all actions share, made when they are first needed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Url};

use super::failure::request_failure;
use crate::event::FailureKind;
use crate::handler::StepError;

/// Longest time to establish a connection; a firewall that drops packets is noticed by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Most redirects followed.
const MAX_REDIRECTS: usize = 10;

/// What sets one client apart from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    /// Loading the machine's root certificates takes some milliseconds, so plain HTTP does without.
    tls: bool,
    /// A proxy of the machine is for other hosts, never for this one.
    proxy: bool,
    /// Whether redirects are followed.
    follow: bool,
}

/// HTTP clients with their connection pools. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct HttpClients(Arc<Mutex<HashMap<Kind, Client>>>);

/// Clients for every family, so that they share connections.
pub(crate) fn shared() -> HttpClients {
    HttpClients::default()
}

impl HttpClients {
    /// The client for a URL.
    pub(crate) fn client(&self, url: &Url, follow: bool) -> Result<Client, StepError> {
        let kind = Kind {
            // A redirect may lead from plain HTTP to TLS.
            tls: url.scheme() == "https" || follow,
            proxy: !is_loopback(url),
            follow,
        };
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&kind) {
            return Ok(client.clone());
        }
        // A machine without root certificates can still do plain HTTP.
        let client = match build(builder(kind), url) {
            Err(_) if kind.tls && url.scheme() == "http" => {
                build(builder(Kind { tls: false, ..kind }), url)?
            }
            other => other?,
        };
        clients.insert(kind, client.clone());
        Ok(client)
    }

    /// A client of its own that also trusts the certificates of a PEM file.
    pub(crate) fn client_with_ca(
        &self,
        url: &Url,
        follow: bool,
        ca_file: &Path,
    ) -> Result<Client, StepError> {
        let unreadable = |error: &(dyn std::error::Error + 'static)| {
            StepError::caused(
                FailureKind::Invalid,
                format!("cannot read the certificates in `{}`", ca_file.display()),
                error,
            )
        };
        let pem = std::fs::read(ca_file).map_err(|error| unreadable(&error))?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| unreadable(&error))?;
        let kind = Kind {
            tls: true,
            proxy: !is_loopback(url),
            follow,
        };
        build(builder(kind).tls_certs_merge(certificates), url)
    }
}

fn builder(kind: Kind) -> ClientBuilder {
    // The TLS library wants one provider of cryptography per process; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("runbook/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(if kind.follow {
            Policy::limited(MAX_REDIRECTS)
        } else {
            Policy::none()
        });
    if !kind.tls {
        builder = builder.tls_certs_only([]);
    }
    if !kind.proxy {
        builder = builder.no_proxy();
    }
    builder
}

fn build(builder: ClientBuilder, url: &Url) -> Result<Client, StepError> {
    builder
        .build()
        .map_err(|error| request_failure("prepare a request to", url, &error, None))
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_all_its_names() {
        for (url, loopback) in [
            ("http://localhost:1/", true),
            ("http://127.0.0.2/", true),
            ("http://[::1]:8/", true),
            ("https://example.org/", false),
            ("http://10.0.0.1/", false),
        ] {
            let parsed = Url::parse(url).expect("a URL");
            assert_eq!(is_loopback(&parsed), loopback, "{url}");
        }
    }
}
