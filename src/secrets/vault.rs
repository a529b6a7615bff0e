//! HashiCorp Vault, key-value engine version 2: `GET /v1/MOUNT/data/PATH` of its HTTP API.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroize as _;

use super::error::SecretError;
use crate::base::Value;

/// How long Vault may take to answer.
const LIMIT: Duration = Duration::from_secs(15);

/// Where Vault is and who we are there.
#[derive(Clone, Default)]
pub struct VaultSettings {
    /// `VAULT_ADDR`.
    pub address: Option<String>,
    /// `VAULT_TOKEN`.
    pub token: Option<SecretString>,
    /// A file with the token, asked when there is no `token`: what `vault login` leaves.
    pub token_file: Option<PathBuf>,
    /// `VAULT_NAMESPACE`.
    pub namespace: Option<String>,
    /// `VAULT_CACERT`: a PEM file with certificates to trust too.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for VaultSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultSettings")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Reads a field of the present version of a secret.
pub(super) async fn read(
    settings: &VaultSettings,
    path: &str,
    field: &str,
) -> Result<SecretString, SecretError> {
    let address = settings
        .address
        .as_deref()
        .ok_or(SecretError::VaultNotSet("the address"))?;
    let away = |source: reqwest::Error| SecretError::VaultAway {
        address: address.to_owned(),
        source: source.without_url(),
    };
    let request = client(settings, address)?
        .get(url(address, path)?)
        .headers(headers(settings, address)?);
    let answer = request.send().await.map_err(away)?;
    let status = answer.status();
    let body: Value = match answer.bytes().await {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        Err(error) => return Err(away(error)),
    };
    value(body, status, path, field)
}

fn url(address: &str, path: &str) -> Result<Url, SecretError> {
    let refused = |reason: String| SecretError::VaultSettings {
        address: address.to_owned(),
        reason,
    };
    let mut url = Url::parse(address).map_err(|error| refused(error.to_string()))?;
    let (mount, rest) = path.split_once('/').unwrap_or((path, ""));
    url.path_segments_mut()
        .map_err(|()| refused("this is no address of a server".to_owned()))?
        .pop_if_empty()
        .extend(["v1", mount, "data"])
        .extend(rest.split('/'));
    Ok(url)
}

fn client(settings: &VaultSettings, address: &str) -> Result<Client, SecretError> {
    let refused = |reason: String| SecretError::VaultSettings {
        address: address.to_owned(),
        reason,
    };
    // The TLS library wants one provider of cryptography per process; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("runbook/", env!("CARGO_PKG_VERSION")))
        .timeout(LIMIT)
        // A redirect would carry the token to another host.
        .redirect(Policy::none());
    if address.starts_with("http://") {
        builder = builder.tls_certs_only([]).no_proxy();
    }
    if let Some(file) = &settings.ca_file {
        let pem =
            std::fs::read(file).map_err(|error| refused(format!("{}: {error}", file.display())))?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| refused(error.to_string()))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|error| refused(error.to_string()))
}

fn headers(settings: &VaultSettings, address: &str) -> Result<HeaderMap, SecretError> {
    let refused = |reason: &str| SecretError::VaultSettings {
        address: address.to_owned(),
        reason: reason.to_owned(),
    };
    let token = match (&settings.token, &settings.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(file)) => match std::fs::read_to_string(file) {
            Ok(mut text) => {
                let token = SecretString::from(text.trim());
                text.zeroize();
                token
            }
            Err(_) => return Err(SecretError::VaultNotSet("a token")),
        },
        (None, None) => return Err(SecretError::VaultNotSet("a token")),
    };
    let mut headers = HeaderMap::new();
    let mut token = HeaderValue::from_str(token.expose_secret())
        .map_err(|_| refused("the token holds characters that no token has"))?;
    token.set_sensitive(true);
    headers.insert("X-Vault-Token", token);
    // Without it, a proxy or agent may serve a request that came by way of another site.
    headers.insert("X-Vault-Request", HeaderValue::from_static("true"));
    if let Some(namespace) = &settings.namespace {
        let namespace = HeaderValue::from_str(namespace)
            .map_err(|_| refused("the namespace holds characters that no name has"))?;
        headers.insert("X-Vault-Namespace", namespace);
    }
    Ok(headers)
}

fn value(
    mut body: Value,
    status: StatusCode,
    path: &str,
    field: &str,
) -> Result<SecretString, SecretError> {
    let refused = |reason: String| {
        Err(SecretError::VaultRefused {
            path: path.to_owned(),
            reason,
            later: status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
        })
    };
    let said = || {
        let errors = body.get("errors").and_then(Value::as_array);
        let words: Vec<&str> = errors
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if words.is_empty() {
            String::new()
        } else {
            format!(" ({})", words.join("; "))
        }
    };
    // Vault answers 404 with data and `data.data: null` for a version that was deleted.
    let deleted = body
        .pointer("/data/metadata/deletion_time")
        .and_then(Value::as_str)
        .is_some_and(|time| !time.is_empty());
    match status.as_u16() {
        200 => {}
        404 if deleted => return refused("its present version is deleted".to_owned()),
        404 => return refused(format!("there is no such secret{}", said())),
        403 => return refused(format!("the token may not read it{}", said())),
        503 => return refused(format!("Vault is sealed or in maintenance{}", said())),
        473 | 472 => return refused("this server of Vault is a standby".to_owned()),
        301..=308 => {
            return refused("it sends us to another server; set VAULT_ADDR to that one".to_owned());
        }
        _ => return refused(format!("it answers {status}{}", said())),
    }
    let Some(fields) = body
        .pointer_mut("/data/data")
        .and_then(Value::as_object_mut)
    else {
        return refused(
            "the answer is not that of a key-value engine of version 2; is the mount right?"
                .to_owned(),
        );
    };
    let found = fields.remove(field);
    let names: Vec<String> = fields.keys().cloned().collect();
    for value in fields.values_mut() {
        if let Value::String(text) = value {
            text.zeroize();
        }
    }
    match found {
        Some(Value::String(text)) => Ok(SecretString::from(text)),
        Some(Value::Number(number)) => Ok(SecretString::from(number.to_string())),
        Some(_) => refused(format!("its field `{field}` is no text")),
        None => refused(format!(
            "it has no field `{field}`; its fields are {}",
            names.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers as the documentation of Vault's API says, and remembers the requests.
    struct Double {
        address: String,
        heard: Arc<Mutex<Vec<String>>>,
    }

    fn answer_for(path: &str, token: bool) -> (u16, Value) {
        let whole = json!({
            "request_id": "1", "lease_id": "", "renewable": false, "lease_duration": 0,
            "data": {
                "data": { "password": "hunter2", "port": 5432, "tags": ["a"] },
                "metadata": { "created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": false, "version": 3 }
            },
            "wrap_info": null, "warnings": null, "auth": null
        });
        match path {
            _ if !token => (403, json!({ "errors": ["permission denied"] })),
            "/v1/secret/data/stock/db" | "/v1/secret/data/with%20space" => (200, whole),
            "/v1/secret/data/gone" => (
                404,
                json!({ "data": { "data": null, "metadata": { "deletion_time": "2026-01-02T00:00:00Z", "version": 3 } } }),
            ),
            "/v1/kv1/data/db" => (200, json!({ "data": { "password": "hunter2" } })),
            "/v1/secret/data/sealed" => (503, json!({ "errors": ["Vault is sealed"] })),
            "/v1/secret/data/moved" => (307, Value::Null),
            _ => (404, json!({ "errors": [] })),
        }
    }

    impl Double {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = format!("http://{}", listener.local_addr().expect("bound"));
            let heard: Arc<Mutex<Vec<String>>> = Arc::default();
            let record = Arc::clone(&heard);
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let mut request = Vec::new();
                    let mut buffer = [0; 4096];
                    while !request.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut buffer).await {
                            Ok(0) | Err(_) => break,
                            Ok(read) => request.extend_from_slice(&buffer[..read]),
                        }
                    }
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                    let token = text.to_lowercase().contains("x-vault-token: good-token");
                    record.lock().expect("no panic").push(text);
                    let (status, body) = answer_for(&path, token);
                    let body = body.to_string();
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\nLocation: http://elsewhere.invalid/\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
            Self { address, heard }
        }

        fn settings(&self) -> VaultSettings {
            VaultSettings {
                address: Some(self.address.clone()),
                token: Some(SecretString::from("good-token")),
                namespace: Some("team/a".to_owned()),
                ..VaultSettings::default()
            }
        }
    }

    #[tokio::test]
    async fn fields_are_read_with_token_and_namespace() {
        let double = Double::start().await;
        let settings = double.settings();
        let password = read(&settings, "secret/stock/db", "password").await;
        assert_eq!(password.expect("read").expose_secret(), "hunter2");
        let port = read(&settings, "secret/with space", "port").await;
        assert_eq!(port.expect("read").expose_secret(), "5432");
        let heard = double
            .heard
            .lock()
            .expect("no panic")
            .join("")
            .to_lowercase();
        assert!(heard.contains("x-vault-namespace: team/a"));
        assert!(heard.contains("x-vault-request: true"));
    }

    #[tokio::test]
    async fn every_refusal_is_told_in_words_without_the_values() {
        let double = Double::start().await;
        for (path, field, words, later) in [
            (
                "secret/stock/db",
                "user",
                "its fields are password, port, tags",
                false,
            ),
            ("secret/stock/db", "tags", "no text", false),
            ("secret/none", "x", "no such secret", false),
            ("secret/gone", "x", "deleted", false),
            ("kv1/db", "password", "version 2", false),
            ("secret/sealed", "x", "Vault is sealed", true),
            ("secret/moved", "x", "another server", false),
        ] {
            let error = read(&double.settings(), path, field).await.expect_err(path);
            let text = format!("{error} {error:?}");
            assert!(text.contains(words), "{path}: {text}");
            assert!(
                !text.contains("hunter2") && !text.contains("good-token"),
                "{text}"
            );
            assert_eq!(error.is_temporary(), later, "{path}");
        }
    }

    #[tokio::test]
    async fn a_wrong_or_missing_token_and_a_server_that_is_away_are_told() {
        let double = Double::start().await;
        let wrong = VaultSettings {
            token: Some(SecretString::from("bad-token")),
            ..double.settings()
        };
        let error = read(&wrong, "secret/stock/db", "password")
            .await
            .expect_err("403");
        assert!(error.to_string().contains("permission denied"), "{error}");
        let none = VaultSettings {
            token: None,
            ..double.settings()
        };
        let error = read(&none, "secret/a", "b").await.expect_err("no token");
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("vault login"))
        );
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", free.local_addr().expect("bound"));
        drop(free);
        let away = VaultSettings {
            address: Some(address),
            ..double.settings()
        };
        let error = read(&away, "secret/a", "b").await.expect_err("away");
        assert!(error.is_temporary(), "{error}");
    }

    #[tokio::test]
    async fn the_token_may_lie_in_a_file() {
        let double = Double::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        std::fs::write(&file, "good-token\n").expect("written");
        let settings = VaultSettings {
            token: None,
            token_file: Some(file),
            ..double.settings()
        };
        let password = read(&settings, "secret/stock/db", "password").await;
        assert_eq!(password.expect("read").expose_secret(), "hunter2");
    }
}
