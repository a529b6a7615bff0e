//! Mails against a mail server in this process.

use std::fs;
use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::handler::Notify;
use super::test_mail_server::{MailServer, Manners, Taken};
use crate::base::Value;
use crate::event::FailureKind;
use crate::handler::testing::TestStep;
use crate::handler::{Preview, StepError, Stop, typed};
use crate::handlers::http::shared;

/// A connection to `address`, with more keys.
fn channel(address: impl std::fmt::Display, more: Value) -> Value {
    let mut config = json!({
        "to": "email",
        "smtp": format!("smtp://{address}"),
        "from": "Runbook <runbook@example.org>",
        "recipients": ["ops@example.org"],
        "tls": "none",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    config
}

async fn send(step: &TestStep, mut with: Value) -> Result<Value, StepError> {
    with["channel"] = json!("mail");
    typed(Notify::new(&shared()))
        .run(step.ctx.clone(), with)
        .await
}

/// A step with a channel `mail` to a server of these manners.
async fn set_up(manners: Manners, more: Value) -> (TestStep, MailServer) {
    let server = MailServer::start(manners).await;
    let step = TestStep::new().connection("mail", "notify", channel(server.address, more));
    (step, server)
}

fn headers(mail: &Taken) -> &str {
    mail.text.split_once("\r\n\r\n").expect("a blank line").0
}

fn header<'a>(mail: &'a Taken, name: &str) -> Vec<&'a str> {
    let lines = headers(mail).lines();
    lines
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .collect()
}

#[tokio::test]
async fn a_mail_says_what_when_and_why() {
    let (step, server) = set_up(Manners::default(), json!({})).await;
    let with = json!({
        "message": "Restart api?\n.\nIt is up since 03:00.",
        "fields": { "gate": "go", "waits": 3 },
        "to": ["Ada <ada@example.org>", "OPS@example.org", "+49 30 1234"],
    });
    let sent = send(&step, with.clone()).await.expect("sent");
    assert_eq!(sent["sent_to"], "ops@example.org, ada@example.org");
    let mail = server.taken().remove(0);
    assert_eq!(mail.from, "runbook@example.org");
    assert_eq!(mail.to, ["ops@example.org", "ada@example.org"]);
    let run = step.ctx.run;
    assert_eq!(
        header(&mail, "Subject"),
        [format!("[test] test: test (run {run})")]
    );
    assert_eq!(header(&mail, "From"), ["Runbook <runbook@example.org>"]);
    assert_eq!(
        header(&mail, "To"),
        ["ops@example.org, Ada <ada@example.org>"]
    );
    assert_eq!(header(&mail, "Auto-Submitted"), ["auto-generated"]);
    assert_eq!(header(&mail, "Date").len(), 1);
    let (_, body) = mail.text.split_once("\r\n\r\n").expect("a body");
    // A line with one dot would have ended it.
    assert!(body.starts_with("Restart api?\r\n"), "{body}");
    for part in [
        "\r\nIt is up since 03:00.\r\n\r\ngate: go\r\nwaits: 3\r\n",
        "not reached by mail: +49 30 1234\r\n",
        &format!("runbook status {run}\r\n"),
    ] {
        assert!(body.contains(part), "{part:?} in {body}");
    }

    // The same again is the same mail; another attempt or text is another.
    send(&step, with.clone()).await.expect("sent");
    let mut other = with;
    other["message"] = json!("Restart api now?");
    send(&step, other).await.expect("sent");
    let taken = server.taken();
    let ids: Vec<Vec<&str>> = taken.iter().map(|m| header(m, "Message-ID")).collect();
    assert!(ids[0][0].starts_with(&format!("<{run}.")) && ids[0][0].ends_with("@example.org>"));
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}

#[tokio::test]
async fn nothing_in_it_can_begin_a_header() {
    let (mut step, server) = set_up(Manners::default(), json!({})).await;
    step.ctx.runbook = "x\r\nBcc: evil@example.org\r\n\r\nbody".into();
    let evil = "a@example.org\r\nBcc: evil@example.org";
    let with = json!({
        "message": "hello\r\nBcc: evil@example.org\r\n.\r\nRCPT TO:<evil@example.org>",
        "fields": { "a\r\nBcc: evil@example.org": evil },
        "to": [evil, "evil@example.org>\r\nRCPT TO:<evil@example.org", "Bcc: \"\r\n\" <b@example.org>"],
    });
    let sent = send(&step, with).await.expect("sent");
    assert_eq!(sent["sent_to"], "ops@example.org");
    let taken = server.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].to, ["ops@example.org"]);
    assert_eq!(header(&taken[0], "Bcc"), [""; 0]);
    assert_eq!(header(&taken[0], "Subject").len(), 1);
    for line in headers(&taken[0]).lines() {
        let (name, _) = line.split_once(':').unwrap_or((line, ""));
        let known = [
            "Date",
            "Message-ID",
            "From",
            "Subject",
            "Auto-Submitted",
            "To",
            "Content-Type",
            "MIME-Version",
            "Content-Transfer-Encoding",
        ];
        assert!(line.starts_with(' ') || known.contains(&name), "{line}");
    }
    // A channel with such an address is refused.
    for (key, value) in [("from", json!(evil)), ("recipients", json!([evil]))] {
        let (step, _server) = set_up(Manners::default(), json!({ key: value })).await;
        let error = send(&step, json!({ "message": "x" })).await.expect_err(key);
        assert_eq!(error.0.sort, FailureKind::Invalid);
        assert!(
            error.to_string().contains("is no e-mail address"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn umlauts_arrive_encoded() {
    let (mut step, server) = set_up(Manners::default(), json!({})).await;
    step.ctx.runbook = "Störung".into();
    send(&step, json!({ "message": "Käse" }))
        .await
        .expect("sent");
    let mail = server.taken().remove(0);
    assert!(mail.text.is_ascii(), "{}", mail.text);
    assert!(
        header(&mail, "Subject")[0].contains("=?utf-8?"),
        "{}",
        mail.text
    );
}

#[tokio::test]
async fn a_refused_recipient_is_named_and_does_not_keep_it_from_the_others() {
    let (step, server) = set_up(Manners::default(), json!({})).await;
    let with = json!({ "message": "x", "to": ["ada@nowhere.example", "bob@later.example"] });
    let sent = send(&step, with).await.expect("sent to one");
    let sent = sent["sent_to"].as_str().expect("a text");
    for part in [
        "refused: ada@nowhere.example (550 Mailbox unavailable)",
        "bob@later.example (451 4.7.1 Greylisted",
    ] {
        assert!(sent.contains(part), "{sent}");
    }
    assert!(
        step.logged().contains("ada@nowhere.example (550"),
        "{}",
        step.logged()
    );
    assert_eq!(server.taken()[0].to, ["ops@example.org"]);

    let only = |to: &str| json!({ "recipients": [to] });
    let (step, server) = set_up(Manners::default(), only("ada@nowhere.example")).await;
    let error = send(&step, json!({ "message": "x" }))
        .await
        .expect_err("refused");
    assert_eq!(error.0.sort, FailureKind::Error);
    let wanted = format!(
        "the mail server {} refused the recipient `ada@nowhere.example`: 550 Mailbox unavailable",
        server.address
    );
    assert_eq!(error.to_string(), wanted);
    assert!(server.taken().is_empty());

    // Greylisting: later it may do.
    let (step, _server) = set_up(Manners::default(), only("bob@later.example")).await;
    let error = send(&step, json!({ "message": "x" }))
        .await
        .expect_err("refused");
    assert_eq!(error.0.sort, FailureKind::Unavailable);
    assert!(
        error
            .to_string()
            .contains("451 4.7.1 Greylisted, try again later"),
        "{error}"
    );
}

#[tokio::test]
async fn a_mail_that_is_refused_at_its_end_was_not_sent() {
    for (code, text, kind) in [
        (554, "5.7.1 Looks like spam", FailureKind::Error),
        (452, "4.3.1 Out of space", FailureKind::Unavailable),
    ] {
        let manners = Manners {
            at_end: Some((code, text)),
            ..Manners::default()
        };
        let (step, _server) = set_up(manners, json!({})).await;
        let error = send(&step, json!({ "message": "x" }))
            .await
            .expect_err(text);
        assert_eq!(error.0.sort, kind);
        assert!(
            error
                .to_string()
                .ends_with(&format!("refused the mail: {code} {text}")),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = Manners {
        silent: true,
        ..Manners::default()
    };
    let (step, server) = set_up(silent, json!({})).await;
    let error = send(&step, json!({ "message": "x" }))
        .await
        .expect_err("silent");
    assert_eq!(error.0.sort, FailureKind::Timeout);
    assert!(
        error.to_string().contains(&server.address.to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_a_silent_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let step = TestStep::new().connection("mail", "notify", channel(address, json!({})));
    let stop = async {
        // Stopped only once it waits for the greeting.
        let connection = listener.accept().await.expect("it comes");
        step.stop.send_replace(Stop::Gently);
        connection
    };
    let (result, _connection) = tokio::join!(send(&step, json!({ "message": "x" })), stop);
    assert_eq!(result.expect_err("stopped").0.sort, FailureKind::Cancelled);
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let step = TestStep::new().connection("mail", "notify", channel(address, json!({})));
    let error = send(&step, json!({ "message": "x" }))
        .await
        .expect_err("refused");
    assert_eq!(error.0.sort, FailureKind::Unavailable);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(
        error
            .0
            .hint
            .is_some_and(|hint| hint.contains("nc -v 127.0.0.1"))
    );
}

#[tokio::test]
async fn a_server_that_wants_a_password_gets_it() {
    let manners = Manners {
        account: Some(("runbook", "s3cret")),
        ..Manners::default()
    };
    let account = |password: &str| json!({ "username": "runbook", "password": password });
    let (step, server) = set_up(manners.clone(), account("s3cret")).await;
    send(&step, json!({ "message": "x" }))
        .await
        .expect("let in");
    assert_eq!(server.taken().len(), 1);

    let (step, _server) = set_up(manners.clone(), account("wr0ng")).await;
    let error = send(&step, json!({ "message": "x" }))
        .await
        .expect_err("kept out");
    assert_eq!(error.0.sort, FailureKind::Invalid);
    let text = error.to_string();
    assert!(
        text.contains("does not let `runbook` in: 535 Invalid credentials"),
        "{text}"
    );
    assert!(!text.contains("wr0ng"));

    let (step, _server) = set_up(manners, json!({})).await;
    let error = send(&step, json!({ "message": "x" }))
        .await
        .expect_err("kept out");
    let text = error.to_string();
    assert!(
        text.contains("takes no mail from `runbook@example.org`: 503 Bad sequence"),
        "{text}"
    );
}

/// For `localhost`, with its certificate as PEM.
fn acceptor() -> (TlsAcceptor, String) {
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
    (TlsAcceptor::from(Arc::new(config)), certified.cert.pem())
}

#[tokio::test]
async fn the_connection_is_encrypted_as_asked() {
    let (acceptor, pem) = acceptor();
    let starttls = Manners {
        starttls: Some(acceptor.clone()),
        ..Manners::default()
    };
    let from_the_start = Manners {
        tls: Some(acceptor),
        ..Manners::default()
    };
    for (tls, manners) in [("starttls", starttls), ("required", from_the_start)] {
        let server = MailServer::start(manners).await;
        let place = format!("localhost:{}", server.address.port());
        let trusting = channel(&place, json!({ "tls": tls, "ca_file": "ca.pem" }));
        let step = TestStep::new().connection("mail", "notify", trusting);
        fs::write(step.root().join("ca.pem"), &pem).expect("written");
        send(&step, json!({ "message": "x" })).await.expect(tls);
        assert_eq!(server.taken().len(), 1, "{tls}");

        let step =
            TestStep::new().connection("mail", "notify", channel(&place, json!({ "tls": tls })));
        let error = send(&step, json!({ "message": "x" })).await.expect_err(tls);
        assert!(
            error.to_string().to_lowercase().contains("certificate"),
            "{error}"
        );
        assert_eq!(server.taken().len(), 1, "{tls}");
    }
    // Nothing is said in the clear to a server that cannot encrypt.
    let (step, server) = set_up(Manners::default(), json!({ "tls": "starttls" })).await;
    let error = send(&step, json!({ "message": "x" }))
        .await
        .expect_err("in the clear");
    assert!(error.to_string().contains("offers no STARTTLS"), "{error}");
    assert!(server.taken().is_empty());
}

#[tokio::test]
async fn a_channel_that_cannot_work_is_explained_before_anything_is_sent() {
    for (more, message) in [
        (
            json!({ "smtp": "mail.example.org" }),
            "not the address of a mail server",
        ),
        (
            json!({ "smtp": "http://mail.example.org" }),
            "not the address of a mail server",
        ),
        (
            json!({ "smtp": "smtp://u:hidden@mail.example.org" }),
            "not the address of a mail server",
        ),
        (json!({ "username": "u" }), "go together"),
        (
            json!({ "smtp": "smtp://mail.example.org", "username": "u", "password": "hidden" }),
            "the password would go to `mail.example.org` in the clear",
        ),
        (json!({ "recipients": [] }), "nobody to write to"),
        (
            json!({ "recipient": ["ops@example.org"] }),
            "unknown field `recipient`",
        ),
    ] {
        let config = channel("127.0.0.1:1", more);
        let step = TestStep::new().connection("mail", "notify", config);
        let error = send(&step, json!({ "message": "x" }))
            .await
            .expect_err(message);
        assert_eq!(error.0.sort, FailureKind::Invalid, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(!format!("{error:?}").contains("hidden"));
    }
}

#[test]
fn a_preview_says_to_whom_and_through_which_server() {
    let config = channel("mail.example.org", json!({ "tls": "starttls" }));
    let step = TestStep::new().connection("mail", "notify", config);
    let with = json!({ "channel": "mail", "message": "hello", "to": ["ada@example.org", "Bob"] });
    let preview = typed(Notify::new(&shared())).preview(&step.preview_context(), &with);
    let wanted = "mail to ops@example.org, ada@example.org through mail.example.org:587: hello";
    assert!(
        matches!(&preview, Preview::Exact(text) if text == wanted),
        "{preview:?}"
    );
}
