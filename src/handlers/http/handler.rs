//! The actions: one implementation, one type per method.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::HttpClients;
use super::failure::{request_failure, shown, without_password};
use crate::base::{HumanDuration, Value, format_size};
use crate::event::FailureKind;
use crate::handler::{Preview, PreviewContext, StepContext, StepError, Stop, TypedHandler};
use crate::model::{ActionExample, Effect};

/// Most bytes of an answer that are kept.
const BODY_LIMIT: usize = 1024 * 1024;

/// A request method with what an action says of itself.
pub(in crate::handlers) trait Verb: Send + Sync + 'static {
    const NAME: &'static str;
    const SUMMARY: &'static str;
    const EFFECT: Effect;
    const METHOD: Method;
    /// Whether redirects are followed by default.
    const FOLLOW: bool;
    const EXAMPLE: (&'static str, &'static str);
}

macro_rules! verb {
    ($verb:ident, $name:literal, $method:ident, $effect:ident, $follow:literal, $summary:literal, $title:literal, $yaml:literal) => {
        #[doc = $summary]
        pub(in crate::handlers) struct $verb;

        impl Verb for $verb {
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = $summary;
            const EFFECT: Effect = Effect::$effect;
            const METHOD: Method = Method::$method;
            const FOLLOW: bool = $follow;
            const EXAMPLE: (&'static str, &'static str) = ($title, $yaml);
        }
    };
}

verb!(
    Get,
    "http.get",
    GET,
    Read,
    true,
    "Fetch a URL",
    "Wait until a page answers with 200",
    "id: front\nuses: http.get\nwith:\n  url: http://127.0.0.1:8000/health\n  timeout: 2s\nretry: { attempts: 5, delay: 1s }\n"
);
verb!(
    Head,
    "http.head",
    HEAD,
    Read,
    true,
    "Ask for a URL's headers only",
    "See whether a file is there",
    "id: there\nuses: http.head\nwith: { url: http://127.0.0.1:8000/health, expect_status: [200, 404] }\n"
);
verb!(
    Post,
    "http.post",
    POST,
    Once,
    false,
    "Send data to a URL with POST",
    "Start a job over an API",
    "id: job\nuses: http.post\nwith:\n  url: http://127.0.0.1:8000/jobs\n  json: { kind: reindex }\n  expect_status: [202]\n"
);
verb!(
    Put,
    "http.put",
    PUT,
    Idempotent,
    false,
    "Put data at a URL",
    "Switch a feature off",
    "id: off\nuses: http.put\nwith:\n  url: http://127.0.0.1:8000/features/search\n  json: { enabled: false }\n"
);
verb!(
    Patch,
    "http.patch",
    PATCH,
    Once,
    false,
    "Change part of what a URL names",
    "Scale down",
    "id: scale\nuses: http.patch\nwith:\n  url: http://127.0.0.1:8000/pools/main\n  json: { size: 2 }\n"
);
verb!(
    Delete,
    "http.delete",
    DELETE,
    Idempotent,
    false,
    "Delete what a URL names",
    "Drop a cache; gone already is fine",
    "id: drop\nuses: http.delete\nwith:\n  url: http://127.0.0.1:8000/caches/main\n  expect_status: [200, 204, 404]\n"
);

/// One request with the method of `V`.
pub(in crate::handlers) struct Http<V> {
    clients: HttpClients,
    verb: PhantomData<fn() -> V>,
}

impl<V> Http<V> {
    /// An action over shared clients.
    pub(in crate::handlers) fn new(clients: &HttpClients) -> Self {
        Self {
            clients: clients.clone(),
            verb: PhantomData,
        }
    }
}

/// Inputs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::handlers) struct Input {
    /// `http://` or `https://` URL. Interpolated values are percent-encoded.
    #[schemars(extend("x-escape" = "url"))]
    url: String,
    /// Query parameters, added to those of the URL.
    #[serde(default)]
    query: BTreeMap<String, Value>,
    /// Request headers.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    headers: BTreeMap<String, String>,
    /// Body as JSON; sets `Content-Type: application/json`.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    json: Option<Value>,
    /// Body as text. Not together with `json`.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    body: Option<String>,
    /// Limit for the whole exchange. Default 10s.
    #[serde(default = "ten_seconds")]
    timeout: HumanDuration,
    /// Statuses that mean success. Default: 200 to 299.
    #[serde(default)]
    #[schemars(inner(range(min = 100, max = 599)))]
    expect_status: Option<Vec<u16>>,
    /// Whether redirects are followed. Default: for `http.get` and `http.head` only.
    #[serde(default)]
    follow_redirects: Option<bool>,
    /// PEM file, relative to the repository's root, with certificates to trust beside the machine's.
    #[serde(default)]
    ca_file: Option<String>,
}

fn ten_seconds() -> HumanDuration {
    HumanDuration(Duration::from_secs(10))
}

/// Outputs.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::handlers) struct Output {
    /// Status code.
    status: u16,
    /// Response headers, names in lower case; of a repeated header the last.
    headers: BTreeMap<String, String>,
    /// The body, when it is JSON; else null.
    json: Value,
    /// The body as text; at most its first MiB.
    body: String,
    /// Whether `body` was cut.
    truncated: bool,
    /// From the request to the end of the body.
    latency: HumanDuration,
}

impl<V: Verb> TypedHandler for Http<V> {
    type Input = Input;
    type Output = Output;

    const NAME: &'static str = V::NAME;
    const SUMMARY: &'static str = V::SUMMARY;
    const DESCRIPTION: &'static str = "\
Makes one request and gives its status, headers and body. A status that is not expected fails the \
step: 5xx and 429 as `unavailable`, which a retry may cure, any other as `error`. A server that \
cannot be reached is `unavailable`, one that is too slow `timeout`. TLS certificates are checked \
against the machine's own list and `ca_file`. Proxies of the machine (`HTTPS_PROXY` and its kind) \
are used, but never for loopback addresses.

Every method but GET, HEAD and OPTIONS sends the step's idempotency key as the header \
`Idempotency-Key`, unless `headers` sets it: the same for every attempt, also after a crash, so that \
a server that knows the header does the work once.";
    const EFFECT: Effect = V::EFFECT;

    fn examples() -> Vec<ActionExample> {
        let (title, yaml) = V::EXAMPLE;
        vec![ActionExample {
            title: title.to_owned(),
            yaml: yaml.to_owned(),
        }]
    }

    async fn run(&self, ctx: StepContext, input: Input) -> Result<Output, StepError> {
        let url = full_url(&input)?;
        let follow = input.follow_redirects.unwrap_or(V::FOLLOW);
        let client = match &input.ca_file {
            Some(file) => self.clients.client_with_ca(&url, follow, &ctx.path(file))?,
            None => self.clients.client(&url, follow)?,
        };
        let what = V::METHOD.to_string();
        let limit = input.timeout.0;
        let mut request = client
            .request(V::METHOD, url.clone())
            .timeout(limit)
            .headers(headers(&input.headers)?);
        if sends_key::<V>(&input) {
            let key = HeaderValue::from_str(&ctx.idempotency_key)
                .map_err(|error| invalid(format!("the idempotency key cannot be sent: {error}")))?;
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        let has_type = has_header(&input, CONTENT_TYPE.as_str());
        request = match (input.json, input.body) {
            (Some(_), Some(_)) => return Err(invalid("give `json` or `body`, not both")),
            (Some(json), None) => {
                let request = request.body(json.to_string());
                if has_type {
                    request
                } else {
                    request.header(CONTENT_TYPE, "application/json")
                }
            }
            (None, Some(body)) => request.body(body),
            (None, None) => request,
        };
        let begin = Instant::now();
        let failed = |error: &reqwest::Error| request_failure(&what, &url, error, Some(limit));
        let exchange = async {
            let mut response = request.send().await.map_err(|error| failed(&error))?;
            let body = read_body(&mut response)
                .await
                .map_err(|error| failed(&error))?;
            Ok::<_, StepError>((response, body))
        };
        let (response, body) = tokio::select! {
            result = exchange => result?,
            () = ctx.stop.reached(Stop::Gently) => {
                return Err(StepError::new(
                    FailureKind::Cancelled,
                    format!("{what} {} was stopped while waiting for the answer", shown(&url)),
                ));
            }
        };
        let latency = HumanDuration(begin.elapsed());
        ctx.log.line(format_args!(
            "{what} {} -> {} in {latency}",
            shown(&url),
            response.status()
        ));
        check_status(
            &what,
            &url,
            &response,
            &body,
            input.expect_status.as_deref(),
        )?;
        Ok(output(&response, body, latency))
    }

    fn preview(&self, _ctx: &PreviewContext, input: &Input) -> Preview {
        let url = match full_url(input).and_then(|url| headers(&input.headers).map(|_| url)) {
            Ok(url) => url,
            Err(error) => return Preview::Unknown(error.to_string()),
        };
        let mut names: Vec<&str> = input.headers.keys().map(String::as_str).collect();
        let mut text = format!("{} {}", V::METHOD, without_password(&url));
        let body = match (&input.json, &input.body) {
            (Some(_), Some(_)) => {
                return Preview::Unknown("give `json` or `body`, not both".to_owned());
            }
            (Some(json), None) => Some((json.to_string().len(), "JSON")),
            (None, Some(body)) => Some((body.len(), "text")),
            (None, None) => None,
        };
        if input.json.is_some() && !has_header(input, CONTENT_TYPE.as_str()) {
            names.push("Content-Type");
        }
        if sends_key::<V>(input) {
            names.push(IDEMPOTENCY_KEY);
        }
        if !names.is_empty() {
            // Only the names: the values may be secrets.
            text.push_str(&format!("\nheaders {}", names.join(", ")));
        }
        if let Some((size, kind)) = body {
            text.push_str(&format!("\nbody of {} of {kind}", format_size(size as u64)));
        }
        if let Some(codes) = &input.expect_status {
            let codes: Vec<String> = codes.iter().map(u16::to_string).collect();
            text.push_str(&format!("\nexpects {}", codes.join(", ")));
        }
        Preview::Exact(text)
    }
}

/// The header of draft-ietf-httpapi-idempotency-key-header.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Whether the key is sent: for methods that may change something, unless the step sets the header.
fn sends_key<V: Verb>(input: &Input) -> bool {
    let changes = !matches!(V::METHOD, Method::GET | Method::HEAD | Method::OPTIONS);
    changes && !has_header(input, IDEMPOTENCY_KEY)
}

fn has_header(input: &Input, name: &str) -> bool {
    input
        .headers
        .keys()
        .any(|header| header.eq_ignore_ascii_case(name))
}

struct Body {
    bytes: Vec<u8>,
    truncated: bool,
}

/// Reads at most [`BODY_LIMIT`] bytes; the rest of a longer answer is not fetched.
async fn read_body(response: &mut Response) -> Result<Body, reqwest::Error> {
    let mut body = Body {
        bytes: Vec::new(),
        truncated: false,
    };
    while let Some(chunk) = response.chunk().await? {
        let free = BODY_LIMIT - body.bytes.len();
        body.bytes
            .extend_from_slice(&chunk[..chunk.len().min(free)]);
        if chunk.len() > free {
            body.truncated = true;
            break;
        }
    }
    Ok(body)
}

fn check_status(
    what: &str,
    url: &Url,
    response: &Response,
    body: &Body,
    expected: Option<&[u16]>,
) -> Result<(), StepError> {
    let status = response.status();
    let fine = match expected {
        Some(list) => list.contains(&status.as_u16()),
        None => status.is_success(),
    };
    if fine {
        return Ok(());
    }
    let kind = if status.is_server_error() || status.as_u16() == 429 {
        FailureKind::Unavailable
    } else {
        FailureKind::Error
    };
    let mut error = StepError::new(kind, format!("{what} {} answered {status}", shown(url)));
    let text = String::from_utf8_lossy(&body.bytes[..body.bytes.len().min(2000)]);
    let lines: Vec<String> = text.lines().take(10).map(str::to_owned).collect();
    if status.is_redirection()
        && let Some(target) = response.headers().get("location")
    {
        error = error.hint(format!(
            "it redirects to {}; use that URL, or `follow_redirects: true`",
            String::from_utf8_lossy(target.as_bytes())
        ));
    }
    Err(error.log_tail(lines))
}

fn output(response: &Response, body: Body, latency: HumanDuration) -> Output {
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let json = if body.truncated {
        Value::Null
    } else {
        serde_json::from_slice(&body.bytes).unwrap_or(Value::Null)
    };
    Output {
        status: response.status().as_u16(),
        headers,
        json,
        body: String::from_utf8_lossy(&body.bytes).into_owned(),
        truncated: body.truncated,
        latency,
    }
}

fn full_url(input: &Input) -> Result<Url, StepError> {
    let mut url = parse_url(&input.url)?;
    if !input.query.is_empty() {
        let mut pairs = url.query_pairs_mut();
        for (name, value) in &input.query {
            match value {
                Value::String(text) => pairs.append_pair(name, text),
                Value::Array(_) | Value::Object(_) => {
                    return Err(invalid(format!(
                        "the query parameter `{name}` must be a single value, not a list or a map"
                    )));
                }
                scalar => pairs.append_pair(name, &scalar.to_string()),
            };
        }
    }
    Ok(url)
}

/// Parses an `http` or `https` URL.
pub(in crate::handlers) fn parse_url(text: &str) -> Result<Url, StepError> {
    let url = Url::parse(text).map_err(|error| {
        StepError::caused(
            FailureKind::Invalid,
            format!("`{text}` is not a URL"),
            &error,
        )
        .hint("write e.g. `http://127.0.0.1:8000/health`")
    })?;
    if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err(invalid(format!(
            "`{text}` is not an `http://` or `https://` URL"
        )))
    }
}

fn headers(written: &BTreeMap<String, String>) -> Result<HeaderMap, StepError> {
    let mut map = HeaderMap::new();
    for (name, value) in written {
        let bad = |error: &dyn fmt::Display| {
            // The value may be a secret, so it is not repeated.
            invalid(format!("the header `{name}` cannot be sent: {error}"))
        };
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|error| bad(&error))?;
        let value = HeaderValue::from_str(value).map_err(|error| bad(&error))?;
        map.insert(header, value);
    }
    Ok(map)
}

fn invalid(message: impl Into<String>) -> StepError {
    StepError::new(FailureKind::Invalid, message)
}
