//! A message as a mail: addresses, subject, body.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::{Address, message};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::handler::Input;
use crate::base::{Digest, Value};
use crate::event::FailureKind;
use crate::handler::{StepContext, StepError};

/// Longest subject, in characters.
const SUBJECT_LENGTH: usize = 150;

/// A mail server and whom it is asked to write to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Email {
    /// The server: `smtp://HOST:PORT`. Default port 587, with `tls: required` 465, with `tls: none` 25.
    pub(super) smtp: String,
    /// The address that the mail is from.
    pub(super) from: String,
    /// Addresses that get every message of this channel.
    #[serde(default)]
    pub(super) recipients: Vec<String>,
    /// `starttls` (default): the connection is encrypted before anything is said; `required`: it is from
    /// its first byte; `none`: it is not.
    #[serde(default)]
    pub(super) tls: Tls,
    /// A file with certificates (PEM) to trust besides those of the machine, relative to the repository's root.
    #[serde(default)]
    pub(super) ca_file: Option<String>,
    /// Who signs in; with `password`.
    #[serde(default)]
    pub(super) username: Option<String>,
    /// The password, such as `{{ secrets.NAME }}`.
    #[serde(default)]
    pub(super) password: Option<String>,
}

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum Tls {
    /// After `STARTTLS` (RFC 3207); a server that does not know it is refused.
    #[default]
    Starttls,
    /// From the first byte (RFC 8314).
    Required,
    /// Not at all.
    None,
}

/// A mail, ready to be sent.
pub(super) struct Mail {
    pub(super) from: Address,
    pub(super) to: Vec<Address>,
    pub(super) bytes: Vec<u8>,
}

/// An address in ASCII, with or without a name, as in `Ada <ada@example.org>`.
fn mailbox(text: &str) -> Option<Mailbox> {
    // Line breaks have no place here, whatever a parser may make of them.
    let plain = text.is_ascii() && !text.chars().any(char::is_control);
    plain.then(|| text.parse().ok()).flatten()
}

/// Whom a message goes to.
pub(super) struct Recipients {
    pub(super) boxes: Vec<Mailbox>,
    /// Of `with.to`: what is no address.
    others: Vec<String>,
}

impl Recipients {
    /// Those of the channel, which must be addresses, and those of the step, which need not be.
    pub(super) fn of(email: &Email, input: &Input) -> Result<Self, StepError> {
        let mut boxes = Vec::new();
        for text in &email.recipients {
            boxes.push(mailbox(text).ok_or_else(|| no_address("recipients", text))?);
        }
        let mut others = Vec::new();
        for text in &input.to {
            match mailbox(text) {
                Some(mailbox) => boxes.push(mailbox),
                None => others.push(one_line(text)),
            }
        }
        let mut known = BTreeSet::new();
        boxes.retain(|mailbox| known.insert(mailbox.email.to_string().to_lowercase()));
        if boxes.is_empty() {
            let nobody = "there is nobody to write to: neither the channel's `recipients` nor the step's `to` has an e-mail address";
            return Err(StepError::new(FailureKind::Invalid, nobody)
                .hint("add `recipients: [ops@example.org]` to the connection"));
        }
        Ok(Self { boxes, others })
    }

    /// `ops@example.org, ada@example.org`.
    pub(super) fn listed(&self) -> String {
        let all = self.boxes.iter().map(|mailbox| mailbox.email.to_string());
        all.collect::<Vec<_>>().join(", ")
    }
}

fn no_address(key: &str, text: &str) -> StepError {
    StepError::new(
        FailureKind::Invalid,
        format!("`{key}`: `{}` is no e-mail address", one_line(text)),
    )
    .hint("write e.g. `ops@example.org`")
}

/// Without line breaks and other control characters, so that it cannot begin a header or a line.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Writes the mail. The same step, attempt and inputs give the same `Message-ID`, so that whoever gets it
/// twice sees it once.
pub(super) fn compose(
    ctx: &StepContext,
    email: &Email,
    input: &Input,
    recipients: Recipients,
) -> Result<Mail, StepError> {
    let from = mailbox(&email.from).ok_or_else(|| no_address("from", &email.from))?;
    let subject = one_line(&format!(
        "[{}] {}: {} (run {})",
        ctx.environment.name, ctx.runbook, ctx.step, ctx.run
    ));
    let of_this = json!([ctx.step, ctx.attempt, input.message, input.fields, input.to]);
    let id = format!(
        "<{}.{}@{}>",
        ctx.run,
        Digest::of_value(&of_this).short(),
        from.email.domain()
    );
    let millis = u64::try_from(ctx.clock.now().unix_millis()).unwrap_or(0);
    let mut builder = Message::builder()
        .date(UNIX_EPOCH + Duration::from_millis(millis))
        .message_id(Some(id))
        .from(from.clone())
        .subject(subject.chars().take(SUBJECT_LENGTH).collect::<String>())
        .raw_header(automatic());
    for mailbox in &recipients.boxes {
        builder = builder.to(mailbox.clone());
    }
    let text = body(ctx, input, &recipients.others);
    let message = builder
        .header(message::header::ContentType::TEXT_PLAIN)
        .body(text)
        .map_err(|error| {
            StepError::caused(FailureKind::Invalid, "the mail cannot be written", &error)
        })?;
    Ok(Mail {
        from: from.email,
        to: recipients.boxes.into_iter().map(|b| b.email).collect(),
        bytes: message.formatted(),
    })
}

/// RFC 3834: no holiday reply, please.
fn automatic() -> HeaderValue {
    HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    )
}

fn body(ctx: &StepContext, input: &Input, others: &[String]) -> String {
    let mut text = format!("{}\n", input.message.trim_end());
    let mut add = |line: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    };
    if !input.fields.is_empty() {
        add(String::new());
    }
    for (name, value) in &input.fields {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        add(format!("{name}: {value}"));
    }
    if !others.is_empty() {
        add(format!(
            "\nAlso meant for, but not reached by mail: {}",
            others.join(", ")
        ));
    }
    add(format!(
        "\n-- \nrunbook {} in {}, step {}, attempt {}\nrun {}\nrunbook status {}",
        ctx.runbook, ctx.environment.name, ctx.step, ctx.attempt, ctx.run, ctx.run
    ));
    text
}
