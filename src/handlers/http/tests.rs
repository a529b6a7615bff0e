//! Requests to a real server on loopback.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::handler::Verb;
use super::test_server::TestServer;
use super::{Get, Head, Http, Post, Put, shared};
use crate::base::{Value, parse_duration};
use crate::event::FailureKind;
use crate::handler::testing::TestStep;
use crate::handler::{StepError, Stop, typed};

async fn ask<V: Verb>(step: &TestStep, with: Value) -> Result<Value, StepError> {
    typed(Http::<V>::new(&shared()))
        .run(step.ctx.clone(), with)
        .await
}

#[tokio::test]
async fn an_answer_becomes_outputs() {
    let (step, server) = (TestStep::new(), TestServer::start().await);
    let outputs = ask::<Get>(&step, json!({"url": server.url("/json")}))
        .await
        .expect("answers");
    assert_eq!(outputs["status"], 200);
    assert_eq!(outputs["json"], json!({"a": [1, 2]}));
    assert_eq!(outputs["headers"]["content-type"], "application/json");
    let latency = outputs["latency"].as_str().expect("a text");
    assert!(parse_duration(latency).expect("a duration") > Duration::ZERO);
    let outputs = ask::<Head>(&step, json!({"url": server.url("/status/204")}))
        .await
        .expect("answers");
    assert_eq!(outputs["status"], 204);
}

#[tokio::test]
async fn query_headers_and_body_are_sent() {
    let (step, server) = (TestStep::new(), TestServer::start().await);
    ask::<Post>(
        &step,
        json!({
            "url": server.url("/echo?a=1"),
            "query": {"b": "x y", "c": 2},
            "headers": {"X-Team": "ops"},
            "json": {"on": true},
        }),
    )
    .await
    .expect("answers");
    ask::<Put>(&step, json!({"url": server.url("/echo"), "body": "plain"}))
        .await
        .expect("answers");
    let requests = server.requests();
    assert!(
        requests[0].starts_with("POST /echo?a=1&b=x+y&c=2 HTTP/1.1"),
        "{}",
        requests[0]
    );
    assert!(requests[0].contains("x-team: ops"));
    assert!(requests[0].contains("content-type: application/json"));
    assert!(requests[0].ends_with(r#"{"on":true}"#));
    assert!(requests[1].ends_with("plain"));
}

#[tokio::test]
async fn a_long_answer_is_cut() {
    let (step, server) = (TestStep::new(), TestServer::start().await);
    let outputs = ask::<Get>(&step, json!({"url": server.url("/big")}))
        .await
        .expect("answers");
    assert_eq!(outputs["truncated"], true);
    assert_eq!(outputs["body"].as_str().map(str::len), Some(1024 * 1024));
}

#[tokio::test]
async fn statuses_decide() {
    let (step, server) = (TestStep::new(), TestServer::start().await);
    for (status, kind) in [
        (404, FailureKind::Error),
        (429, FailureKind::Unavailable),
        (503, FailureKind::Unavailable),
    ] {
        let url = server.url(&format!("/status/{status}"));
        let error = ask::<Get>(&step, json!({"url": url}))
            .await
            .expect_err("fails");
        assert_eq!(error.0.sort, kind, "{error}");
        assert!(error.to_string().contains(&status.to_string()));
        assert_eq!(error.0.log_tail, [format!("status {status}")]);
        let with = json!({"url": url, "expect_status": [status]});
        assert!(ask::<Get>(&step, with).await.is_ok());
    }
    let with = json!({"url": server.url("/json"), "expect_status": [201]});
    assert!(ask::<Get>(&step, with).await.is_err());
}

#[tokio::test]
async fn redirects_are_followed_for_reading_only() {
    let (step, server) = (TestStep::new(), TestServer::start().await);
    let with = json!({"url": server.url("/moved")});
    let outputs = ask::<Get>(&step, with.clone()).await.expect("follows");
    assert_eq!(outputs["status"], 200);
    let error = ask::<Post>(&step, with).await.expect_err("does not follow");
    assert!(
        error
            .0
            .hint
            .unwrap_or_default()
            .contains("redirects to /json")
    );
}

#[tokio::test]
async fn a_closed_port_is_unavailable() {
    let step = TestStep::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!(
        "http://{}/x?key=secret",
        listener.local_addr().expect("bound")
    );
    drop(listener);
    let error = ask::<Get>(&step, json!({"url": url}))
        .await
        .expect_err("refused");
    assert_eq!(error.0.sort, FailureKind::Unavailable);
    assert!(error.to_string().contains("connection refused"), "{error}");
    assert!(
        error
            .0
            .hint
            .clone()
            .unwrap_or_default()
            .contains("nothing listens on")
    );
    assert!(
        !format!("{error:?}").contains("secret"),
        "queries are not shown: {error:?}"
    );
}

#[tokio::test]
async fn a_silent_server_runs_into_the_timeout_or_the_stop() {
    let (step, server) = (TestStep::new(), TestServer::start().await);
    let with = json!({"url": server.url("/never"), "timeout": "50ms"});
    let error = ask::<Get>(&step, with).await.expect_err("too late");
    assert_eq!(error.0.sort, FailureKind::Timeout);
    assert!(
        error.to_string().contains("no answer within 50ms"),
        "{error}"
    );

    let begin = Instant::now();
    step.stop.send_replace(Stop::Gently);
    let with = json!({"url": server.url("/never"), "timeout": "1h"});
    let error = ask::<Get>(&step, with).await.expect_err("stopped");
    assert_eq!(error.0.sort, FailureKind::Cancelled);
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn wrong_inputs_are_named() {
    let step = TestStep::new();
    for (with, message) in [
        (
            json!({"url": "localhost:80"}),
            "is not an `http://` or `https://` URL",
        ),
        (json!({"url": "/health"}), "is not a URL"),
        (
            json!({"url": "http://127.0.0.1/", "json": 1, "body": "x"}),
            "not both",
        ),
        (
            json!({"url": "http://127.0.0.1/", "headers": {"a b": "c"}}),
            "header `a b`",
        ),
        (
            json!({"url": "http://127.0.0.1/", "query": {"q": []}}),
            "parameter `q`",
        ),
        (
            json!({"url": "https://127.0.0.1/", "ca_file": "none.pem"}),
            "none.pem",
        ),
    ] {
        let error = ask::<Post>(&step, with.clone())
            .await
            .expect_err(&with.to_string());
        assert_eq!(error.0.sort, FailureKind::Invalid, "{error}");
        assert!(error.to_string().contains(message), "{with}: {error}");
    }
}

#[tokio::test]
async fn tls_trusts_the_machine_and_the_given_file_only() {
    let certified =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("generated");
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .expect("a certificate");
    let server = TestServer::start_tls(TlsAcceptor::from(Arc::new(config))).await;
    let url = format!("https://localhost:{}/json", server.port());
    let step = TestStep::new();
    fs::write(step.root().join("ca.pem"), certified.cert.pem()).expect("written");

    let outputs = ask::<Get>(&step, json!({"url": url, "ca_file": "ca.pem"}))
        .await
        .expect("trusted");
    assert_eq!(outputs["json"], json!({"a": [1, 2]}));

    let error = ask::<Get>(&step, json!({"url": url}))
        .await
        .expect_err("unknown issuer");
    assert!(
        error.to_string().to_lowercase().contains("certificate"),
        "{error}"
    );
}

#[tokio::test]
async fn the_idempotency_key_goes_with_what_changes_something_unless_the_step_sets_it() {
    let (mut step, server) = (TestStep::new(), TestServer::start().await);
    step.ctx.idempotency_key = "order-7".to_owned();
    let url = server.url("/echo");
    let heard = |outputs: &Value| outputs["body"].as_str().expect("text").to_lowercase();
    let posted = ask::<Post>(&step, json!({"url": url}))
        .await
        .expect("answers");
    assert!(heard(&posted).contains("idempotency-key: order-7"));
    let own = json!({"url": url, "headers": {"idempotency-KEY": "mine"}});
    let put = ask::<Put>(&step, own).await.expect("answers");
    assert!(heard(&put).contains("idempotency-key: mine"));
    assert!(!heard(&put).contains("order-7"));
    let got = ask::<Get>(&step, json!({"url": url}))
        .await
        .expect("answers");
    assert!(!heard(&got).contains("idempotency-key"));
}

#[test]
fn a_preview_is_the_request_without_values_that_may_be_secrets() {
    let step = TestStep::new();
    let with = json!({
        "url": "https://ana:pw@api.example.org/orders?a=1",
        "query": {"b": "x y"},
        "headers": {"Authorization": "Bearer hush"},
        "json": {"on": true},
        "expect_status": [201],
    });
    let preview = typed(Http::<Post>::new(&shared())).preview(&step.preview_context(), &with);
    assert_eq!(
        preview.text(),
        "POST https://ana:***@api.example.org/orders?a=1&b=x+y\n\
         headers Authorization, Content-Type, Idempotency-Key\n\
         body of 11B of JSON\n\
         expects 201"
    );
    let with = json!({"url": "ftp://x"});
    let preview = typed(Http::<Get>::new(&shared())).preview(&step.preview_context(), &with);
    assert_eq!(preview.label(), "unknown");
}
