//! `notify`: tell people.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::channel::{Channel, TERMINAL, channel};
use super::email::{Email, Recipients, compose};
use super::smtp::Server;
use crate::base::Value;
use crate::event::FailureKind;
use crate::handler::{Preview, PreviewContext, StepContext, StepError, Stop, TypedHandler};
use crate::handlers::http::{HttpClients, parse_url, request_failure};
use crate::model::{ActionExample, Effect};

/// Limit of a webhook's answer.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends messages.
pub(in crate::handlers) struct Notify {
    clients: HttpClients,
}

impl Notify {
    /// An action over shared clients.
    pub(in crate::handlers) fn new(clients: &HttpClients) -> Self {
        Self {
            clients: clients.clone(),
        }
    }
}

/// Inputs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::handlers) struct Input {
    /// A connection of kind `notify` of the environment, or `terminal`. Default `terminal`.
    #[serde(default = "terminal")]
    channel: String,
    /// The text.
    pub(super) message: String,
    /// More to say, for machines.
    #[serde(default)]
    pub(super) fields: BTreeMap<String, Value>,
    /// Whom it is for, besides those whom the channel always tells: e-mail addresses, of which a channel to
    /// `email` sends to each. Other channels pass them on.
    #[serde(default)]
    pub(super) to: Vec<String>,
}

fn terminal() -> String {
    TERMINAL.to_owned()
}

/// Outputs.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::handlers) struct Output {
    /// Where the message went.
    sent_to: String,
}

impl TypedHandler for Notify {
    type Input = Input;
    type Output = Output;

    const NAME: &'static str = "notify";
    const SUMMARY: &'static str =
        "Tell people: on the terminal, in a file, by a webhook, by e-mail";
    const DESCRIPTION: &'static str = "\
Sends `message` to a channel. A channel is a connection of kind `notify` of the environment:

```yaml
connections:
  ops:     { kind: notify, to: terminal }
  journal: { kind: notify, to: file, path: notifications.jsonl }
  chat:    { kind: notify, to: webhook, url: 'https://chat.example.org/hook', headers: { X-Team: ops } }
  mail:
    kind: notify
    to: email
    smtp: smtp://mail.example.org:587
    from: runbook@example.org
    recipients: [ops@example.org]
    tls: starttls           # default; or required (TLS from the first byte), or none
    username: runbook
    password: \"{{ secrets.smtp }}\"
```

The channel `terminal` always exists. A file gets one line of JSON, a webhook the same JSON by POST: \
`at`, `runbook`, `run`, `step`, `attempt`, `environment`, `message` and `text` (the same, as chat \
systems want it), `fields` and `to`. A mail says the same in words; `to` adds recipients to those of the \
channel, and what is no address in it is named in the text. It is sent when the server takes it for at \
least one of them; those that it refused are in the log and in `sent_to`. `ca_file` names certificates to \
trust besides those of the machine.

The effect is `idempotent`: after a crash the message may come twice, which harms nobody, and the \
receiver knows a repeat by its `run`, `step` and `attempt`.";
    const EFFECT: Effect = Effect::Idempotent;

    fn examples() -> Vec<ActionExample> {
        vec![ActionExample {
            title: "Say how the run ended".to_owned(),
            yaml: "\
id: tell
uses: notify
with:
  channel: terminal
  message: \"{{ run.runbook }} in {{ run.environment }}\"
"
            .to_owned(),
        },
        ActionExample {
            title: "Write to somebody as well as to those whom a channel of kind `email` always tells".to_owned(),
            yaml: "\
id: tell_the_owner
uses: notify
with:
  channel: mail
  message: \"{{ run.runbook }} in {{ run.environment }} begins\"
  fields: { window: 10m }
  to: [ada@example.org]
"
            .to_owned(),
        }]
    }

    async fn run(&self, ctx: StepContext, input: Input) -> Result<Output, StepError> {
        let channel = channel(&ctx.environment, &input.channel)?;
        let sent_to = match channel {
            Channel::Terminal {} => {
                ctx.log.line(&input.message);
                TERMINAL.to_owned()
            }
            Channel::File { path } => {
                append(&ctx.path(&path), &body(&ctx, &input)).map_err(|error| {
                    StepError::caused(
                        FailureKind::Error,
                        format!("channel `{}`: cannot append to `{path}`", input.channel),
                        &error,
                    )
                })?;
                path
            }
            Channel::Webhook { url, headers } => {
                self.post(&ctx, &input, &url, &headers).await?;
                format!("webhook `{}`", input.channel)
            }
            Channel::Email(email) => mail(&ctx, &input, &email).await?,
        };
        Ok(Output { sent_to })
    }

    fn preview(&self, ctx: &PreviewContext, input: &Input) -> Preview {
        let way = match channel(&ctx.environment, &input.channel) {
            Ok(Channel::Terminal {}) => "print".to_owned(),
            Ok(Channel::File { path }) => format!("append a line of JSON to {path}"),
            // A webhook's path often is its password.
            Ok(Channel::Webhook { url, .. }) => match parse_url(&url) {
                Ok(url) => format!(
                    "POST JSON to {}://{}/...",
                    url.scheme(),
                    url.host_str().unwrap_or_default()
                ),
                Err(error) => return Preview::Unknown(error.to_string()),
            },
            Ok(Channel::Email(email)) => {
                let way = Server::of(&email)
                    .and_then(|server| Ok((server.shown(), Recipients::of(&email, input)?)));
                match way {
                    Ok((server, to)) => format!("mail to {} through {server}", to.listed()),
                    Err(error) => return Preview::Unknown(error.to_string()),
                }
            }
            Err(error) => return Preview::Unknown(error.to_string()),
        };
        Preview::Exact(format!("{way}: {}", input.message))
    }
}

impl Notify {
    async fn post(
        &self,
        ctx: &StepContext,
        input: &Input,
        url: &str,
        headers: &BTreeMap<String, String>,
    ) -> Result<(), StepError> {
        let url = parse_url(url)?;
        let mut request = self
            .clients
            .client(&url, false)?
            .post(url.clone())
            .timeout(WEBHOOK_TIMEOUT)
            .json(&body(ctx, input));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = tokio::select! {
            result = request.send() => result.map_err(|error| {
                request_failure("POST", &url, &error, Some(WEBHOOK_TIMEOUT))
            })?,
            () = ctx.stop.reached(Stop::Gently) => return Err(stopped(input)),
        };
        if response.status().is_success() {
            return Ok(());
        }
        Err(StepError::new(
            FailureKind::Unavailable,
            format!(
                "channel `{}`: the webhook answered {}",
                input.channel,
                response.status()
            ),
        ))
    }
}

fn stopped(input: &Input) -> StepError {
    StepError::new(
        FailureKind::Cancelled,
        format!("stopped while telling `{}`", input.channel),
    )
}

/// Sends a mail; gives who got it.
async fn mail(ctx: &StepContext, input: &Input, email: &Email) -> Result<String, StepError> {
    let server = Server::of(email)?;
    let recipients = Recipients::of(email, input)?;
    let listed = recipients.listed();
    let mail = compose(ctx, email, input, recipients)?;
    let refused = tokio::select! {
        result = server.hand_over(&mail, &ctx.root) => result?,
        () = ctx.stop.reached(Stop::Gently) => return Err(stopped(input)),
    };
    if refused.is_empty() {
        return Ok(listed);
    }
    let refused = refused.join(", ");
    ctx.log.line(format!("the mail server refused: {refused}"));
    Ok(format!("{listed}; refused: {refused}"))
}

fn body(ctx: &StepContext, input: &Input) -> Value {
    json!({
        "at": ctx.clock.now(),
        "runbook": &*ctx.runbook,
        "run": ctx.run,
        "step": ctx.step,
        "attempt": ctx.attempt,
        "environment": ctx.environment.name,
        "message": input.message,
        "text": input.message,
        "fields": input.fields,
        "to": input.to,
    })
}

/// Appends a line in one write, so that lines of several processes do not mix.
fn append(path: &Path, line: &Value) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::testing::TestStep;
    use crate::handler::typed;
    use crate::handlers::http::shared;
    use crate::handlers::http::test_server::TestServer;

    async fn send(step: &TestStep, with: Value) -> Result<Value, StepError> {
        typed(Notify::new(&shared()))
            .run(step.ctx.clone(), with)
            .await
    }

    #[tokio::test]
    async fn tells_the_terminal_and_a_file() {
        let step = TestStep::new().connection(
            "journal",
            "notify",
            json!({"to": "file", "path": "logs/told.jsonl"}),
        );
        send(&step, json!({"message": "hello"}))
            .await
            .expect("sent");
        assert_eq!(step.logged(), "hello\n");
        for text in ["one", "two"] {
            let with = json!({"channel": "journal", "message": text, "fields": {"n": 1}});
            send(&step, with).await.expect("sent");
        }
        let text = fs::read_to_string(step.root().join("logs/told.jsonl")).expect("written");
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["message"], "two");
        assert_eq!(lines[1]["step"], "test");
        assert_eq!(lines[1]["fields"], json!({"n": 1}));
    }

    #[tokio::test]
    async fn tells_a_webhook() {
        let server = TestServer::start().await;
        let step = TestStep::new()
            .connection(
                "chat",
                "notify",
                json!({"to": "webhook", "url": server.url("/json"), "headers": {"X-Team": "ops"}}),
            )
            .connection(
                "broken",
                "notify",
                json!({"to": "webhook", "url": server.url("/status/500")}),
            );
        let sent = send(&step, json!({"channel": "chat", "message": "hello"})).await;
        assert_eq!(sent.expect("sent")["sent_to"], "webhook `chat`");
        let request = server.requests().remove(0);
        assert!(request.starts_with("POST /json"), "{request}");
        assert!(request.contains("x-team: ops"));
        let (_, body) = request.split_once("\r\n\r\n").expect("a body");
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(
            (&body["text"], &body["run"]),
            (&json!("hello"), &json!(step.ctx.run))
        );

        let error = send(&step, json!({"channel": "broken", "message": "hello"}))
            .await
            .expect_err("refused");
        assert_eq!(error.0.sort, FailureKind::Unavailable);
        assert!(error.to_string().contains("answered 500"), "{error}");
    }

    #[tokio::test]
    async fn an_unknown_or_wrong_channel_is_explained() {
        let step = TestStep::new()
            .connection("ops", "notify", json!({"to": "pigeon"}))
            .connection("db", "mongodb", json!({}));
        for (channel, message, hint) in [
            ("ops", "unknown variant `pigeon`", "actions describe notify"),
            ("db", "kind `mongodb`", ""),
            (
                "terminl",
                "no channel `terminl`",
                "did you mean `terminal`?",
            ),
            ("elsewhere_entirely", "no channel", "kind: notify"),
        ] {
            let error = send(&step, json!({"channel": channel, "message": "x"}))
                .await
                .expect_err(channel);
            assert_eq!(error.0.sort, FailureKind::Invalid);
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.0.hint.unwrap_or_default().contains(hint));
        }
    }
}
